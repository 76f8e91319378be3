# Relative destinations begin at WORKDIR; dot and a trailing slash are directories.
# oracle: BuildKit

FROM corpus-base
WORKDIR /w
COPY a.txt .
COPY a.txt sub/
COPY b.txt ../up
WORKDIR deeper
COPY b.txt ./
