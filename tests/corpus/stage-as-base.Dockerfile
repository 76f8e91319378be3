# A stage continues another with its files, variables and arguments.
# oracle: BuildKit

FROM corpus-base AS one
ARG a=1
ENV e=$a
WORKDIR /w
RUN echo one > f
FROM one AS two
RUN echo "${a-unset} $e" > g
FROM two
COPY a.txt .
