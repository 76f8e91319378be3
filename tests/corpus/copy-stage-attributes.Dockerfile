# Between stages owners and modes stay as they were.
# oracle: BuildKit

FROM corpus-base AS one
RUN mkdir /d && echo x > /d/f && chown app:staff /d/f && chmod 2750 /d && chown 7:8 /d
FROM scratch
COPY --from=one /d /d
COPY --from=one /d/f /f
