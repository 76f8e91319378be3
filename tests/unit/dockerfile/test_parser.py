"""What each instruction accepts."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.dockerfile.instructions import (
    Add, Arg, Cmd, Copy, Dockerfile, Entrypoint, Env, ExecForm, Expose, From, Healthcheck, Heredoc, Instruction, Label, Maintainer,
    OnBuild, Pair, Run, Shell, ShellForm, Stage, StopSignal, User, Volume, Workdir,
)  # fmt: skip
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.parser import parse_dockerfile, parse_instruction
from minidocker.dockerfile.text import Span
from minidocker.dockerfile.words import SHAPES
from minidocker.spec.container import HealthConfig
from tests.unit.dockerfile.fragments import TEXTS

INSTRUCTIONS: list[tuple[str, Instruction]] = [
    ("ADD --checksum=sha256:00 --keep-git-dir --unpack=false a /b/", Add(sources=("a",), destination="/b/", checksum="sha256:00", keep_git_dir=True, unpack=False)),
    ("ARG a b=c d=", Arg(pairs=(Pair(name="a", value=None), Pair(name="b", value="c"), Pair(name="d", value="")))),
    ("CMD echo $HOME", Cmd(command=ShellForm(line="echo $HOME"))),
    ('CMD ["a", "b c"]', Cmd(command=ExecForm(words=("a", "b c")))),
    ("CMD []", Cmd(command=ExecForm(words=()))),
    ("CMD ['a']", Cmd(command=ShellForm(line="['a']"))),
    ("CMD", Cmd(command=ShellForm(line=""))),
    (
        "COPY --from=build --chown=1:2 --chmod=u+x --link --parents --exclude=*.md --exclude=x a b/ /c",
        Copy(sources=("a", "b/"), destination="/c", from_="build", chown="1:2", chmod="u+x", link=True, parents=True, exclude=("*.md", "x")),
    ),
    ('COPY ["a b", "/c"]', Copy(sources=("a b",), destination="/c")),
    ("COPY a\\ b /c", Copy(sources=("a\\", "b"), destination="/c")),
    (
        "COPY x <<A <<-'B' /d/\n1\nA\n\t2\n\tB",
        Copy(sources=("x",), destination="/d/", heredocs=(Heredoc(name="A", content="1\n"), Heredoc(name="B", content="\t2\n", expand=False, strip_tabs=True))),
    ),
    ("ENTRYPOINT a", Entrypoint(command=ShellForm(line="a"))),
    ("ENV a=$b", Env(pairs=(Pair(name="a", value="$b"),))),
    ("ENV a b c", Env(pairs=(Pair(name="a", value="b c"),))),
    ("EXPOSE 80/tcp $b 53/udp", Expose(ports=("80/tcp", "$b", "53/udp"))),
    ("HEALTHCHECK NONE", Healthcheck(config=HealthConfig(test=("NONE",)))),
    (
        "HEALTHCHECK --interval=1m30s --timeout=3s --start-period=0s --start-interval=1s --retries=5 CMD a b",
        Healthcheck(config=HealthConfig(test=("CMD-SHELL", "a b"), interval=90 * 10**9, timeout=3 * 10**9, start_interval=10**9, retries=5)),
    ),
    ('healthcheck cmd ["a"]', Healthcheck(config=HealthConfig(test=("CMD", "a")))),
    ("LABEL a.b=c", Label(pairs=(Pair(name="a.b", value="c"),))),
    ("MAINTAINER A <a@b>", Maintainer(name="A <a@b>")),
    ("ONBUILD  RUN  a", OnBuild(trigger="RUN  a")),
    ("ONBUILD COPY <<E /\nx\nE", OnBuild(trigger="COPY <<E /\nx\nE")),
    ("RUN --mount=type=cache,target=/c --network=none a  b", Run(command=ShellForm(line="a  b"), mounts=("type=cache,target=/c",), network="none")),
    ("RUN <<E\na\nE", Run(command=ShellForm(line="<<E"), heredocs=(Heredoc(name="E", content="a\n"),))),
    ('SHELL ["a", "-c"]', Shell(words=("a", "-c"))),
    ("STOPSIGNAL 9", StopSignal(signal="9")),
    ("USER a b", User(user="a b")),
    ('VOLUME [" /a ", "/b"]', Volume(paths=("/a", "/b"))),
    ("VOLUME /a /b", Volume(paths=("/a", "/b"))),
    ("WORKDIR a b", Workdir(path="a b")),
]


@pytest.mark.parametrize(("text", "expected"), INSTRUCTIONS, ids=[text for text, _ in INSTRUCTIONS])
def test_instruction_is_parsed(text: str, expected: Instruction) -> None:
    """Flags become typed fields, words stay as written."""
    assert parse_instruction(text) == expected
    assert parse_dockerfile(f"FROM a\n{text}\n").stages[0].instructions == (expected,)


def test_every_instruction_has_an_example() -> None:
    """The table above is the language: FROM aside, none of the 18 is missing."""
    assert {text.split()[0].upper() for text, _ in INSTRUCTIONS} == set(SHAPES) - {"FROM"}


def test_file_has_arguments_and_stages() -> None:
    """ARG before FROM belongs to no stage; names of stages are folded to lower case."""
    parsed = parse_dockerfile("# escape=`\nARG v=1\nFROM --platform=$BUILDPLATFORM a:$v as Build\nRUN b\nFROM scratch\n")
    assert parsed.arguments == (Arg(pairs=(Pair(name="v", value="1"),)),)
    assert parsed.stages == (
        Stage(base=From(image="a:$v", name="build", platform="$BUILDPLATFORM"), instructions=(Run(command=ShellForm(line="b")),)),
        Stage(base=From(image="scratch")),
    )
    assert (parsed.stages[0].name, parsed.directives.escape) == ("build", "`")
    assert parsed.stages[0].instructions[0].span == Span(first=4, last=4)
    assert parsed.stages[0].base.text == "FROM --platform=$BUILDPLATFORM a:$v as Build"


MISTAKES = [
    ("", 1, 1, "file with no instructions"),
    ("# only a comment\n", 1, 1, "file with no instructions"),
    ("ARG a\n", 1, 1, "dockerfile contains no stages to build"),
    ("RUN a\nFROM b\n", 1, 1, "no build stage in current context"),
    ("FROM a\nRUNN b", 2, 1, "unknown instruction: RUNN (did you mean RUN?)"),
    ("FROM a\n  xyz", 2, 3, "unknown instruction: xyz"),
    ("FROM", 1, 1, "FROM requires either one or three arguments"),
    ("FROM a b", 1, 8, "FROM requires either one or three arguments"),
    ("FROM a AS 1b", 1, 11, 'invalid name for build stage: "1b", name can\'t start with a number or contain symbols'),
    ("FROM a\nCOPY b", 2, 6, "COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("FROM a\nADD", 2, 1, "ADD requires at least two arguments, but only one was provided. Destination could not be determined"),
    ("FROM a\nCOPY --form=b c d", 2, 6, "unknown flag: --form (did you mean from?)"),
    ("FROM a\nCOPY --from=$b c d", 2, 13, "variable expansion is not supported for --from"),
    ("FROM a\nCOPY a <<E\nE", 2, 8, "COPY cannot accept a heredoc as a destination"),
    ('FROM a\nCOPY ["<<E", "/"]', 2, 8, "heredoc <<E has no lines (an array or an open quote hides it)"),
    ("FROM a\nRUN --mount=type=cahce b", 2, 18, 'unsupported mount type "cahce" (did you mean cache?)'),
    ("FROM a\nRUN --network=hots b", 2, 15, 'invalid network mode "hots" (did you mean host?)'),
    ("FROM a\nRUN --security=x b", 2, 16, 'security "x" is not valid'),
    ("FROM a\nRUN <<E\nb\n", 2, 5, "unterminated heredoc (end it with a line that is only `E`)"),
    ("FROM a\nCMD \\\n [1]", 3, 2, "when using JSON array syntax, arrays must be comprised of strings only"),
    ("FROM a\nENV b", 2, 5, "ENV must have two arguments"),
    ("FROM a\nENV b=c d", 2, 9, "Syntax error - can't find = in \"d\". Must be of the form: name=value"),
    ("FROM a\nENV =b", 2, 5, "ENV names can not be blank"),
    ("FROM a\nENV", 2, 1, "ENV requires at least one argument"),
    ("FROM a\nARG =b", 2, 5, "ARG names can not be blank"),
    ("FROM a\nUSER", 2, 1, "USER requires exactly one argument"),
    ("FROM a\nUSER --x=b c", 2, 6, "unknown flag: --x"),
    ("FROM a\nSHELL /bin/sh", 2, 7, "SHELL requires the arguments to be in JSON form"),
    ("FROM a\nSHELL []", 2, 1, "SHELL requires at least one argument"),
    ('FROM a\nVOLUME [""]', 2, 9, "VOLUME specified can not be an empty string"),
    ("FROM a\nONBUILD", 2, 1, "ONBUILD requires at least one argument"),
    ("FROM a\nONBUILD ONBUILD RUN b", 2, 1, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("FROM a\nONBUILD FROM b", 2, 9, "FROM isn't allowed as an ONBUILD trigger"),
    ("FROM a\nONBUILD ENV b", 2, 13, "ENV must have two arguments"),
    ("FROM a\nHEALTHCHECK", 2, 1, "HEALTHCHECK requires at least one argument"),
    ("FROM a\nHEALTHCHECK NONE b", 2, 18, "HEALTHCHECK NONE takes no arguments"),
    ("FROM a\nHEALTHCHECK curl b", 2, 13, 'Unknown type "CURL" in HEALTHCHECK (try CMD)'),
    ("FROM a\nHEALTHCHECK CMD", 2, 13, "Missing command after HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK --interval=5 CMD b", 2, 24, 'time: missing unit in duration "5" (such as 30s or 1m30s)'),
    ("FROM a\nHEALTHCHECK --timeout=1us CMD b", 2, 23, 'Interval "timeout" cannot be less than 1ms'),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD b", 2, 23, "--retries cannot be negative (-1)"),
    ("FROM a\nHEALTHCHECK --retries=x CMD b", 2, 23, 'invalid number of retries "x"'),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), MISTAKES, ids=[text or "nothing" for text, *_ in MISTAKES])
def test_mistake_has_words_and_a_place(text: str, line: int, column: int, message: str) -> None:
    """BuildKit's words, because people search for them, and the place, because files are long."""
    with pytest.raises(DockerfileError) as caught:
        parse_dockerfile(text)
    first, _, excerpt = str(caught.value).partition("\n")
    assert message in first
    assert first.startswith(f"dockerfile parse error on line {caught.value.span.first}: ")
    assert excerpt.startswith(f"Dockerfile:{line}:{column}\n")
    assert excerpt.splitlines()[2].index("^") - len(f" {line} | ") == column - 1


@given(TEXTS)
def test_any_text_is_a_dockerfile_or_has_a_mistake_with_a_place(text: str) -> None:
    """Whatever is fed to it: no traceback, and never a mistake without its place."""
    try:
        parsed: Dockerfile | DockerfileError = parse_dockerfile(text)
    except DockerfileError as error:
        parsed = error
    if isinstance(parsed, DockerfileError):
        assert parsed.column >= 1
        assert "^" in str(parsed)
    else:
        assert parsed.stages


@given(st.binary(max_size=200))
def test_any_bytes_are_a_dockerfile_or_refused(data: bytes) -> None:
    """A file need not be UTF-8; names in it are bytes to Linux."""
    with suppress(DockerfileError):
        assert parse_dockerfile(b"FROM a\n" + data).stages


@pytest.mark.parametrize(("text", "message"), [("", "expected one instruction, found 0"), ("RUN a\nRUN b", "found 2"), ("FROM a", "FROM is not allowed here"), ("HELLO", "unknown instruction: HELLO")])
def test_trigger_is_one_instruction(text: str, message: str) -> None:
    """A trigger comes from another image: it is checked again when it is its turn."""
    with pytest.raises(DockerfileError) as caught:
        parse_instruction(text)
    assert message in caught.value.message
