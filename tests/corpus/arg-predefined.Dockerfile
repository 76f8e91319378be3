# Proxies reach RUN without being declared and leave no trace; platforms must be declared.
# oracle: BuildKit
# options: --build-arg HTTP_PROXY=http://proxy.invalid

FROM corpus-base
RUN echo "$HTTP_PROXY ${TARGETOS-unset}" > /1
ARG TARGETOS BUILDOS
RUN echo "$TARGETOS $BUILDOS" > /2
