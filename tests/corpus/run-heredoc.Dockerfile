# A heredoc alone is a script; with #! another program; with a command its input.
# oracle: BuildKit

FROM corpus-base
ARG v=value
RUN <<EOF
echo $v > /1
echo "two $BASE" >> /1
EOF
RUN <<-EOF
	echo tabs > /2
	EOF
RUN <<'EOF'
echo "$v" > /3
EOF
RUN <<EOF
#!/bin/sh -e
echo $0 > /4
EOF
RUN cat <<EOF > /5
$v $BASE
EOF
RUN cat <<'EOF' > /6 && cat <<-X >> /6
$v
EOF
	second
	X
RUN 3<<EOF cat <&3 > /7
three
EOF
