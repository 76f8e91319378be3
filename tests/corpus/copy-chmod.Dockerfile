# An octal mode for files and for everything in a tree.
# oracle: BuildKit

FROM corpus-base
COPY --chmod=640 a.txt /f
COPY --chmod=0755 dir2 /d
COPY --chmod=4711 --chown=app setuid /s
