# ENV and ARG of one name: the later line wins, whatever the reference says.
# oracle: BuildKit
# options: --build-arg three=given

FROM corpus-base
ENV one=env
ARG one=arg
RUN echo $one > /1
ARG two=arg
ENV two=env
RUN echo $two > /2
ARG BASE=arg
RUN echo $BASE > /3
ARG three
ENV three=${three:-default}
RUN echo $three > /4
ARG four=x five=$four-y
RUN echo $four $five > /5
