# A destination without a slash at its end is the file's new name; directories on the way are made.
# oracle: BuildKit

FROM corpus-base
COPY a.txt /new/name
COPY a.txt /etc/removed
