# What a step removes is gone, a directory that is made again is empty.
# oracle: BuildKit

FROM corpus-base
RUN rm /etc/removed && rm -r /opt/tree/old
RUN rm -r /opt/tree && mkdir -p /opt/tree && echo new > /opt/tree/new
RUN rm -rf /home && ln -s /root /home
