"""What the history says of a step."""

from __future__ import annotations

import pytest

from minidocker.build.history import render_history
from minidocker.dockerfile.instructions import Instruction
from minidocker.dockerfile.parser import parse_instruction

LINES = [
    ("COPY --from=x --chown=1:2 --link a b/ /c", "COPY --chown=1:2 a b/ /c # buildkit"),
    ("COPY <<E /c\nE", "COPY <<E /c # buildkit"),
    ("VOLUME /a /b", "VOLUME [/a /b]"),
    ('SHELL ["/bin/sh", "-c"]', "SHELL [/bin/sh -c]"),
    ("ONBUILD RUN a", ""),
    ("USER a", "as it is"),
    ('HEALTHCHECK --interval=1m30s --timeout=500ms --retries=4 CMD ["a", "b"]', 'HEALTHCHECK &{["CMD" "a" "b"] "1m30s" "500ms" "0s" "0s" \'\\x04\'}'),
    ("HEALTHCHECK --interval=2h --retries=65 CMD a", 'HEALTHCHECK &{["CMD-SHELL" "a"] "2h0m0s" "0s" "0s" "0s" \'A\'}'),
]


@pytest.mark.parametrize(("text", "line"), LINES, ids=[text for text, _ in LINES])
def test_line_is_buildkits(text: str, line: str) -> None:
    """`docker history` shows it, and scripts look for it."""
    instruction: Instruction = parse_instruction(text)
    assert render_history(instruction, "as it is") == line


def test_values_of_arguments_are_shown() -> None:
    """In front of the command, with their number: an ARG is no place for a secret."""
    run = parse_instruction("RUN a")
    assert render_history(run, "", argv=("/bin/sh", "-c", "a"), arguments={"x": "1", "y": ""}) == "RUN |2 x=1 y= /bin/sh -c a # buildkit"
    assert render_history(parse_instruction("CMD a"), "", argv=("/bin/sh", "-c", 'a "b"')) == 'CMD ["/bin/sh" "-c" "a \\"b\\""]'
    assert render_history(parse_instruction("EXPOSE 1 2"), "", ports=("1/tcp", "2/tcp")) == "EXPOSE map[1/tcp:{} 2/tcp:{}]"
