# Blanks in names need the array; expansion works in it, too.
# oracle: BuildKit

FROM corpus-base
ENV where="/with space"
COPY ["with space.txt", "$where/"]
COPY ["ünï.txt", "a.txt", "/two names/"]
