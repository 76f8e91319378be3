# What is mounted is there during the step, read-only, and leaves nothing.
# oracle: BuildKit

FROM corpus-base AS one
RUN echo one > /made
FROM corpus-base
RUN --mount=target=/ctx cat /ctx/a.txt > /1 && ! touch /ctx/new
RUN --mount=type=bind,source=dir/one.txt,target=/opt/file cat /opt/file > /2
RUN --mount=from=one,source=/made,dst=/made cat /made > /3
RUN --mount=target=/ctx,rw echo gone > /ctx/a.txt
WORKDIR /opt
RUN --mount=source=dir,target=relative ls relative > /4
