# An ARG without a value changes nothing, not even an inherited variable.
# oracle: BuildKit

FROM corpus-base
ARG BASE
RUN echo $BASE > /1
ARG nothing
RUN echo "${nothing-unset}" > /2
ARG empty=
RUN echo "${empty-unset}" > /3
