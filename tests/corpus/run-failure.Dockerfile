# A step that fails ends the build with its exit code.
# oracle: BuildKit
# error: 7

FROM corpus-base
RUN echo before
RUN exit 7
