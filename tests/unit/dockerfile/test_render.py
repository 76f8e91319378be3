"""Printing a parsed file gives an equivalent file."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minidocker.dockerfile.instructions import Copy, Dockerfile, Env, From, Heredoc, Instruction, Pair, Run, ShellForm, Stage
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.parser import parse_dockerfile, parse_instruction
from minidocker.dockerfile.render import render_dockerfile, render_instruction
from tests.unit.dockerfile.fragments import TEXTS


def _find_parsed(text: str) -> Dockerfile | None:
    try:
        return parse_dockerfile(text)
    except DockerfileError:
        return None


@given(TEXTS)
@example("FROM x\nRUN a\\ \v")
@example("FROM x\nEXPOSE 80 --x")
@example('FROM x\nCOPY ["--a", "b c"]')
@example("FROM x\nRUN -- --x")
def test_file_that_is_printed_means_the_same(text: str) -> None:
    """Comments and line breaks go, the meaning stays: parsing the print gives an equal value, and printing that the same print."""
    parsed = _find_parsed(text)
    if parsed is not None:
        printed = render_dockerfile(parsed)
        assert parse_dockerfile(printed) == parsed
        assert render_dockerfile(parse_dockerfile(printed)) == printed


WORDS = st.text(alphabet="ab \"'\\$[]<-=`#,", min_size=1, max_size=8).filter(lambda text: "<<" not in text)


@given(st.lists(WORDS, min_size=2, max_size=4), st.text(alphabet="ab '\"\\", max_size=5), st.sampled_from(["\\", "`"]))
def test_words_of_any_kind_survive(words: list[str], owner: str, escape: str) -> None:
    """Blanks, quotes and brackets need an array, and a flag's value needs escapes."""
    copy = Copy(sources=tuple(words[:-1]), destination=words[-1], chown=owner)
    assert parse_instruction(render_instruction(copy, escape), escape) == copy


@pytest.mark.parametrize(
    ("instruction", "text"),
    [
        (From(image="a", name="b", platform="linux/arm64"), "FROM --platform=linux/arm64 a AS b"),
        (Run(command=ShellForm(line="<<E"), heredocs=(Heredoc(name="E", content="x\n"),), network="none"), "RUN --network=none <<E\nx\nE"),
        (Env(pairs=(Pair(name="a", value="b c"),)), "ENV a b c"),
        (Env(pairs=(Pair(name="a", value="'b c'"), Pair(name="d", value=""))), "ENV a='b c' d="),
        (Copy(sources=("a",), destination="/b", link=True, exclude=("x", "y")), "COPY --link=true --exclude=x --exclude=y a /b"),
    ],
)
def test_print_is_tidy(instruction: Instruction | From, text: str) -> None:
    """It is read by people, too."""
    assert render_instruction(instruction) == text


def test_directives_come_first() -> None:
    """Otherwise they would be comments."""
    parsed = parse_dockerfile("# syntax=x\n# escape=`\nARG a\nFROM b\nRUN c `\n d\n")
    assert render_dockerfile(parsed) == "# syntax=x\n# escape=`\nARG a\nFROM b\nRUN c  d\n"
    assert parsed.stages[0] == Stage(base=From(image="b"), instructions=(Run(command=ShellForm(line="c  d")),))
