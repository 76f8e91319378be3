# A class is a wildcard; to name a bracket it must be escaped.
# oracle: BuildKit

FROM corpus-base
COPY [ab].txt /ab/
COPY [[]x].txt /x/
