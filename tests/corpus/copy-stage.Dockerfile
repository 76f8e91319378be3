# A stage by name and by number; names fold to lower case; what nobody needs is not built.
# oracle: BuildKit

FROM corpus-base AS First
RUN echo first > /out && ln -s out /soft && ln /out /hard
FROM corpus-base
RUN echo second > /out
FROM corpus-base AS never
RUN false
FROM corpus-base
COPY --from=FIRST /out /soft /hard /first/
COPY --from=1 /out /second
COPY --from=corpus-base /etc/group /groups
