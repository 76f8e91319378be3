# RUN is done by USER, who needs no name in the image; HOME is from the passwd file.
# oracle: BuildKit

FROM corpus-base
USER app
RUN id -u > /tmp/1 && echo $HOME > /tmp/2
USER 123:456
RUN echo "$(id -u):$(id -g) $HOME" > /tmp/3
USER app:staff
RUN id -g > /tmp/4
