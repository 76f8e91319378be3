# Local archives are unpacked by what they are, with owners, links and attributes.
# oracle: BuildKit

FROM corpus-base
ADD archive.tar.gz /gz/
ADD archive.tar.bz2 /bz2/
ADD archive.tar.xz /xz
