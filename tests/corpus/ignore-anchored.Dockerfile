# Patterns are anchored at the top of the context; double stars are not.
# oracle: BuildKit

FROM corpus-base
COPY dir docs *.md /x/
COPY dir2 /dir2/
