# Triggers wait for the next image: there they run first, in order, and only once.
# oracle: BuildKit

FROM corpus-base AS parent
ONBUILD RUN echo one > /1
ONBUILD COPY a.txt /2
ONBUILD ENV from=trigger
FROM parent AS child
RUN echo "$from" > /3
FROM child
ONBUILD LABEL later=yes
