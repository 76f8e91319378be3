# Several sources need a destination with a slash at its end.
# oracle: hand: BuildKit lets the second file replace the first, which the reference forbids
# error: must be a directory

FROM corpus-base
COPY a.txt b.txt /new
