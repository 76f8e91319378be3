# Slashes and dots in front of a source do not leave the context.
# oracle: BuildKit

FROM corpus-base
COPY /a.txt ../b.txt ../../dir/../a.txt /x/
