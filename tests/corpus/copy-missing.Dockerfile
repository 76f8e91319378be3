# A source that is not there is an error.
# oracle: BuildKit
# error: nothing.txt

FROM corpus-base
COPY nothing.txt /
