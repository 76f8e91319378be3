# ENTRYPOINT drops the command of the base image.
# oracle: BuildKit

FROM corpus-base
ENTRYPOINT ["e", "$BASE"]
