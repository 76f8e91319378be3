# Files in the Dockerfile: variables unless the delimiter is quoted, tabs stripped by <<-, several at once.
# oracle: BuildKit

FROM corpus-base
ENV v=value
COPY <<one.txt <<'two.txt' <<-three.txt /files/
$v ${v} \$v "$v" '$v'
one.txt
$v
two.txt
	tabs
		 two
	three.txt
COPY --chmod=755 <<EOF /run.sh
#!/bin/sh
EOF
COPY <<EOF /named
EOF
