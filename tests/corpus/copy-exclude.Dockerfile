# With --exclude some of a tree stay behind.
# oracle: hand: needs a newer frontend than the oracle has

FROM corpus-base
COPY --exclude=*.md --exclude=sub/deep dir /x/
COPY --exclude=** dir2 /y/
