# A directory's contents are copied, never the directory itself; links in it stay links.
# oracle: BuildKit

FROM corpus-base
COPY dir /dst
COPY dir/ /dst2/
COPY dir dir2 /merged/
