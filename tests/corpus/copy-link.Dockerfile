# With --link the destination is made of plain directories, and covers a link that was there.
# oracle: hand: this BuildKit (graph drivers) has no merge operation and ignores the flag

FROM corpus-base
RUN mkdir /real && ln -s /real /link
COPY --link a.txt /link/
COPY --link --chown=5:6 dir /tree/
