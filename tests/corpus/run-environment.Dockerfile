# A step sees the image's variables and the arguments, and nothing of the host.
# oracle: BuildKit

FROM corpus-base
ENV a=1
ARG b=2
RUN env | grep -v -e ^PWD -e ^SHLVL -e ^HOSTNAME -e ^HOME | sort > /env
