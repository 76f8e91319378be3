# A step without a network.
# oracle: BuildKit

FROM corpus-base
RUN --network=none test ! -e /sys/class/net/eth0 && echo none > /1
