# A wildcard that finds directories copies their contents, too; no level of names stays.
# oracle: BuildKit

FROM corpus-base
COPY *.txt /texts/
COPY dir? /all/
COPY d?r/*.md /mds/
