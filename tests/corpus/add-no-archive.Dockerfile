# A name alone makes no archive, and COPY never unpacks.
# oracle: BuildKit

FROM corpus-base
ADD fake.tar /x/
COPY archive.tar.gz /y/
ADD a.txt dir2 /z/
