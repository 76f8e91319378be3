# A link named as source is followed inside the context; links inside a tree are kept.
# oracle: BuildKit

FROM corpus-base
COPY filelink /x/
COPY dirlink /y/
COPY dirlink/one.txt /z/
