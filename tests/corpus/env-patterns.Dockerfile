# Patterns cut prefixes and suffixes and replace.
# oracle: hand: needs a newer frontend than the oracle has

FROM corpus-base
ENV path=/usr/lib/a.tar.gz
ENV a=${path#*/} b=${path##*/} c=${path%.*} d=${path%%.*} e=${path/lib/LIB} f=${path//a/A} g=${empty-x} h=${path+y}
