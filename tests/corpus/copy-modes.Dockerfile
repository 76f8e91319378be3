# Modes and the setuid bit stay, owners become root, times do not matter.
# oracle: BuildKit

FROM corpus-base
COPY script.sh private.txt setuid /m/
COPY empty /empty
