# The whole context, the Dockerfile included unless it is ignored; nothing of the context is above its root.
# oracle: BuildKit

FROM corpus-base
COPY . /ctx/
