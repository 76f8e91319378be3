# A link in the destination is followed inside the image.
# oracle: BuildKit

FROM corpus-base
RUN mkdir /real && ln -s /real /link && ln -s ../../../../../real /out
COPY a.txt /link/
COPY b.txt /out/deep/
