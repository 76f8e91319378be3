# An image from nothing: one file, and no variables but PATH.
# oracle: BuildKit

FROM scratch
COPY a.txt /
