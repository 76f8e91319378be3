# Before FROM an ARG is for FROM lines; a stage sees it only where it says so again.
# oracle: BuildKit

ARG image=corpus-base
ARG version=1
ARG derived=${version}.2
FROM $image AS one
RUN echo "${version-unset}" > /1
ARG version
RUN echo "$version" > /2
ARG version=3
RUN echo "$version" > /3
ARG derived
RUN echo "$derived" > /4
FROM one
RUN echo "${version-unset}" > /5
