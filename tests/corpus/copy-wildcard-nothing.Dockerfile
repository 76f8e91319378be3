# A wildcard that finds nothing is none.
# oracle: BuildKit

FROM corpus-base
COPY nothing*.txt /x/
COPY a.txt /y
