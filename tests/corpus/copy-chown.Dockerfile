# Owners by number and by the image's own names; a user alone gives the group of the same number.
# oracle: BuildKit

FROM corpus-base
COPY --chown=1000 a.txt /n1
COPY --chown=app a.txt /n2
COPY --chown=app:staff a.txt /n3
COPY --chown=:50 a.txt /n4
COPY --chown=12:34 dir /d/
ARG who=app
COPY --chown=$who:${who} a.txt /n5
