# Quotes, continuation, the old form, the same key twice, keys of any kind.
# oracle: BuildKit
# options: --label cli=yes --label a=cli

FROM corpus-base
LABEL a=b "c d"="e f" g='h "i"'
LABEL multi="one \
two" com.example.x=y
LABEL old form of label
LABEL a=changed
LABEL base="$BASE!"
