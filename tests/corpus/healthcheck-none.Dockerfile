# NONE switches off what the base image had.
# oracle: BuildKit

FROM corpus-base AS one
HEALTHCHECK CMD ["x"]
FROM one
HEALTHCHECK NONE
