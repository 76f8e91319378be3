"""Texts that look like Dockerfiles, for properties that must hold for any text: pieces of the language, put together at random."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = [
    "RUN ", "run", "COPY ", "ADD ", "ENV ", "LABEL ", "ARG ", "CMD ", "CMD", "ONBUILD ", "HEALTHCHECK ", "EXPOSE ", "VOLUME ", "USER ",
    "WORKDIR ", "SHELL ", "MAINTAINER ", "STOPSIGNAL ", "ENTRYPOINT ", "FROM a", "FROM a AS b", "NONE", "\n", "\n", "\n", "\\\n", "`\n",
    " \\ \n", "\r\n", "\t", " ", "  ", "# comment\n", "#\n", "# escape=`\n", "# syntax=x\n", "#check=skip=all\n", "# escape = \\\n", "a",
    "b=c", 'a="b c"', "'x y'", '"', "'", "\\", "`", "$a", "${a:-b}", "--from=x", "--chown=1:2", "--", "--x='a b'", '--x="',
    "--mount=type=cache,target=/x", "--link", "--interval=3s", '["a", "b"]', "['a']", "[1]", "[]", '["a"', "<<EOF", "<<-E", '<<"EOF"', "3<<X",
    "EOF\n", "E\n", "\tE\n", "X\n", "<<", "ä", "\v", "\x1c", "=", "a=", '\\"', "\\ ", "\ufeff", "{}", "\0",
]  # fmt: skip

TEXTS = st.builds(
    lambda start, pieces: start + "".join(pieces), st.sampled_from(["FROM x\n", "# escape=`\nFROM x\n", ""]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=14),
)  # fmt: skip
