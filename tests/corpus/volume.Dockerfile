# What is written below a volume after VOLUME stays, in BuildKit.
# oracle: BuildKit

FROM corpus-base
VOLUME /data /more
VOLUME ["/json one", "/two"]
RUN mkdir -p /data && echo x > /data/file
