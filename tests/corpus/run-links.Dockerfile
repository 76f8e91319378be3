# Hard links, fifos, and modes with sticky and setgid bits.
# oracle: BuildKit

FROM corpus-base
RUN mkdir /l && echo x > /l/a && ln /l/a /l/b && ln -s a /l/c && mkfifo /l/fifo && mkdir -m 2775 /l/d && chmod 1777 /l/d && chmod 4755 /l/a
RUN ln /l/a /l/later
RUN chown app:staff /l/fifo && mv /l/c /l/moved
