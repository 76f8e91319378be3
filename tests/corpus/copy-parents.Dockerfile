# With --parents the names above a source come along, up to the pivot.
# oracle: hand: needs a newer frontend than the oracle has

FROM corpus-base
COPY --parents dir/sub/three.txt docs/*.md /p/
COPY --parents dir/./sub/deep /q/
COPY --parents ./**/keep.txt /r/
