# SHELL runs every shell form after it, and is inherited.
# oracle: BuildKit

FROM corpus-base AS one
SHELL ["/bin/sh", "-e", "-c"]
RUN echo "$-" | grep -c e > /flags
FROM one
CMD echo hi
HEALTHCHECK CMD test -e /flags
