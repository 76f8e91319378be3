# A secret that nobody gave is simply not there, unless it is required.
# oracle: BuildKit

FROM corpus-base
RUN --mount=type=secret,id=nobody test ! -e /run/secrets/nobody && echo none > /1
