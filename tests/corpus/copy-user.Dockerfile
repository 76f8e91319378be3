# USER does not matter to COPY: files are root's.
# oracle: BuildKit

FROM corpus-base
USER app
COPY a.txt /home/app/
WORKDIR /home/app/work
RUN touch made
