# A cache keeps files from one step to the next, and none of them is in the image.
# oracle: BuildKit

FROM corpus-base
RUN --mount=type=cache,id=corpus-cache,target=/cache echo kept > /cache/file
RUN --mount=type=cache,id=corpus-cache,target=/other cat /other/file > /1
RUN --mount=type=cache,id=corpus-owned,target=/owned,uid=1000,gid=50,mode=0750 stat -c '%u %g %a' /owned > /2
