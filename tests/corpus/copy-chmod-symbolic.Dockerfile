# Modes in letters change what each file has.
# oracle: hand: needs a newer frontend than the oracle has

FROM corpus-base
COPY --chmod=go-r,u+x a.txt script.sh /x/
COPY --chmod=a=rX dir2 /y
