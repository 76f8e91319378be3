# An empty array is no command.
# oracle: BuildKit

FROM corpus-base
CMD []
ENTRYPOINT []
