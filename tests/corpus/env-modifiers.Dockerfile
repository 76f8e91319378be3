# Defaults and alternatives, nested, with and without a colon.
# oracle: BuildKit

FROM corpus-base
ENV set=s empty=
ENV a=${set:-x} b=${empty:-x} c=${none:-x} d=${set:+y} e=${empty:+y} f=${none:+y} g=${none:-${set}z} h=${none:-"q r"}
COPY a.txt /${none:-default}/$set/${set}x
WORKDIR /${set}/$none/x
USER ${none:-app}
EXPOSE ${none:-80}
LABEL l="$set" $set=k
VOLUME /v/$set
STOPSIGNAL ${none:-SIGINT}
