# One instruction sees the variables as they were before it; both forms, quotes and escapes.
# oracle: BuildKit

FROM corpus-base
ENV abc=hello
ENV abc=bye def=$abc
ENV ghi=$abc
ENV old form $abc "quoted"
ENV q1="a b" q2='$abc' q3=a\ b q4="\$abc" q5="it's" q6=a\\b q7=
ENV BASE=changed-$BASE
