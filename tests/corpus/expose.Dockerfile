# Ports with and without protocol, ranges, variables that hold several.
# oracle: BuildKit

FROM corpus-base
ENV ports="90 91/udp"
EXPOSE 80 443/TCP 53/udp 8000-8002 $ports
EXPOSE 80/tcp
