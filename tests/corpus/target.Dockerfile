# A target by name; stages after it do not matter.
# oracle: BuildKit
# options: --target TWO

FROM corpus-base AS one
RUN echo one > /1
FROM one AS two
ENV two=2
FROM corpus-base
RUN false
