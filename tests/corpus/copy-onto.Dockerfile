# A file replaces a file, a tree joins a tree, modes of what was there are taken over.
# oracle: BuildKit

FROM corpus-base
RUN mkdir -m 700 /opt/tree/new && echo x > /opt/tree/one.txt
COPY dir /opt/tree/
COPY a.txt /opt/tree/one.txt
