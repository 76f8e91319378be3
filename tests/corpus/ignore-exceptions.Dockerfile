# The last rule wins, and a part of a directory that is out may be in.
# oracle: BuildKit

FROM corpus-base
COPY . /ctx/
