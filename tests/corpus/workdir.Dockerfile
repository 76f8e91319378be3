# Relative ones add up; each is made, and belongs to root.
# oracle: BuildKit

FROM corpus-base
WORKDIR a
WORKDIR b/../c
RUN pwd > /1
WORKDIR /x/./y//z/
ENV d=/from/env
WORKDIR $d/sub
RUN pwd > /2
WORKDIR /home/app
WORKDIR ../app2
