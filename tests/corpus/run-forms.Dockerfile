# A line for the shell, an array without one; the last spelling of an instruction's name does not matter.
# oracle: BuildKit

FROM corpus-base
run echo "$HOME" '$HOME' > /1
RUN ["/bin/sh", "-c", "echo $BASE > /2"]
RUN ["touch", "/$BASE"]
RUN echo a \
  b > /3
RUN echo one && \
# a comment goes

  echo two \
  # so does this
  > /4
RUN echo \# not a comment # this the shell drops
RUN cd /tmp && pwd > /5
