"""`build --check`: every rule has a file that breaks it and one that does not."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given

from minidocker.dockerfile.check import Surroundings, check_dockerfile
from minidocker.dockerfile.ignore import parse_ignore_file
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.parser import parse_dockerfile
from minidocker.dockerfile.rules import Rule
from tests.unit.dockerfile.fragments import TEXTS

AROUND = Surroundings(
    base_environments={"alpine": {"PATH": "/bin", "VERSION": "3"}}, base_platforms={"alpine": "linux/arm64"}, ignore_rules=parse_ignore_file("*.log\ntmp\n")
)  # fmt: skip

BROKEN = [
    ("FROM a AS Build", 1, "StageNameCasing: Stage name 'Build' should be lowercase"),
    ("FROM a as b", 1, "FromAsCasing: 'as' and 'FROM' keywords' casing do not match"),
    ("FROM a\nRUN b \\\n\n c\n", 4, "NoEmptyContinuation: Empty continuation line"),
    ("FROM a\nRUN b\nrun c", 3, "ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase)"),
    ("from a\nrun b\nRun c", 3, "ConsistentInstructionCasing: Command 'Run' should match the case of the command majority (lowercase)"),
    ("FROM a AS b\nFROM c AS b", 2, 'DuplicateStageName: Duplicate stage name "b", stage names should be unique'),
    ("FROM a AS scratch", 1, 'ReservedStageName: Stage name should not use the same name as reserved stage "scratch"'),
    ("FROM a\nCMD b", 2, "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"),
    ("FROM a\nMAINTAINER b", 2, "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"),
    ("ARG version\nFROM a:${versoin:-1}", 2, "UndefinedArgInFrom: FROM argument 'versoin' is not declared (did you mean version?)"),
    ("FROM a\nWORKDIR b", 2, 'WorkdirRelativePath: Relative workdir "b" can have unexpected results if the base image changes'),
    ("FROM scratch\nARG name\nCOPY $nmae /", 3, "UndefinedVar: Usage of undefined variable '$nmae'"),
    ("FROM alpine\nENV X=$VERSIO", 2, "UndefinedVar: Usage of undefined variable '$VERSIO' (did you mean $VERSION?)"),
    ("FROM scratch\nRUN --mount=type=cache,target=/$x y", 2, "UndefinedVar: Usage of undefined variable '$x'"),
    ("FROM scratch\nCOPY <<E /a\n$x '$y'\nE", 2, "UndefinedVar: Usage of undefined variable '$x'"),
    (
        'FROM a\nENTRYPOINT ["b"]\nENTRYPOINT ["c"]', 2,
        "MultipleInstructionsDisallowed: Multiple ENTRYPOINT instructions should not be used in the same stage because only the last one will be used",
    ),
    ("FROM a\nENV b c", 2, 'LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format'),
    ("FROM alpine", 1, 'InvalidBaseImagePlatform: Base image alpine was pulled with platform "linux/arm64", expected "linux/amd64" for current build'),
    (
        "FROM --platform=$TARGETPLATFORM a", 1,
        "RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ),
    ("FROM a\nARG DB_PASSWORD", 2, 'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "DB_PASSWORD")'),
    ("ARG tag\nFROM a:${tag}", 2, "InvalidDefaultArgInFrom: Default value for ARG a:${tag} results in empty or invalid base image name"),
    ("FROM --platform=linux/amd64 a AS b", 1, 'FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"'),
    ("FROM a\nCOPY tmp/x /", 2, 'CopyIgnoredFile: Attempting to Copy file "tmp/x" that is excluded by .dockerignore'),
    ("FROM a\nADD ./y.log /", 2, 'CopyIgnoredFile: Attempting to Add file "y.log" that is excluded by .dockerignore'),
    ("# check=experimental=all\n# what it is\nFROM a AS b", 3, "InvalidDefinitionDescription: Comment for FROM should follow the format: `# b <description>`"),
    ("FROM a\nEXPOSE 80/TCP", 2, "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"),
    ("FROM a\nEXPOSE 80:80", 2, "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '80:80'"),
]  # fmt: skip


def _check(text: str, around: Surroundings = AROUND) -> list[tuple[int, str]]:
    return [(one.span.first, f"{one.rule.title}: {one.detail}") for one in check_dockerfile(parse_dockerfile(text), around)]


@pytest.mark.parametrize(("text", "line", "finding"), BROKEN, ids=[f"{finding.partition(':')[0]} {text.splitlines()[-1]}" for text, _, finding in BROKEN])
def test_rule_is_broken(text: str, line: int, finding: str) -> None:
    """In BuildKit's words, at the line that has to change."""
    assert (line, finding) in _check(text)


def test_every_rule_has_an_example() -> None:
    """All rules that BuildKit has: a rule that never speaks would be no rule."""
    assert {finding.partition(":")[0] for *_, finding in BROKEN} == {rule.title for rule in Rule}


FINE = [
    "FROM a AS build\nRUN b \\\n # comment\n c\nCMD [\"d\"]",
    "from a as b\nrun c",
    "FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nCMD b",
    "FROM a AS b\nCMD [\"c\"]\nFROM b\nCMD [\"d\"]",
    "ARG v=1\nFROM --platform=$BUILDPLATFORM a:$v",
    "FROM --platform=linux/amd64 a AS build-amd64",
    "FROM --platform=${TARGETPLATFORM}x a",
    "FROM a\nWORKDIR /b\nWORKDIR c",
    "FROM a AS b\nWORKDIR /c\nFROM b\nWORKDIR d",
    "FROM unknown\nCOPY $anything /",
    "FROM scratch\nARG a\nENV b=1\nCOPY $a $b /",
    "FROM scratch AS a\nENV b=1\nFROM a\nCOPY $b /",
    "FROM a\nENV KEY_FILE=x PUBLIC_KEY=y MONKEY=z TOKEN_VERSION=1",
    "FROM a\nCOPY --from=b tmp /\nADD https://example.com/y.log /",
    "# b is what we build\nFROM a AS b",
    "FROM a\nEXPOSE 80/tcp 53/udp",
]


@pytest.mark.parametrize("text", FINE)
def test_what_is_fine_is_not_complained_about(text: str) -> None:
    """A false alarm teaches people to look away."""
    assert _check(text) == []


def test_exceptions_in_the_ignore_file_silence_the_rule() -> None:
    """A directory that is out may have parts that are in: from the text alone that cannot be told."""
    around = Surroundings(ignore_rules=parse_ignore_file("*\n!src"))
    assert _check("FROM a\nCOPY tmp /", around) == []
    assert len(_check("FROM a\nCOPY . /", Surroundings(ignore_rules=parse_ignore_file("**")))) == 1
    assert _check("FROM a\nCOPY . /", Surroundings(ignore_rules=parse_ignore_file("a"))) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# check=skip=JSONArgsRecommended\nFROM a\nCMD b", []),
        ("# check=skip=StageNameCasing,JSONArgsRecommended;error=true\nFROM a as B\nCMD b", ["FromAsCasing"]),
        ("# check=skip=all\nFROM a AS B\nCMD b", []),
        ("FROM a AS B\n# check=skip=JSONArgsRecommended\nCMD b", ["StageNameCasing"]),
        ("FROM a AS B\n# check=nonsense\nCMD b", ["StageNameCasing", "JSONArgsRecommended"]),
    ],
)
def test_rules_are_switched_off_by_name(text: str, expected: list[str]) -> None:
    """For the whole file at its top, or for the next instruction."""
    assert [finding.partition(":")[0] for _, finding in _check(text)] == expected


def test_build_arguments_count() -> None:
    """With a value given, the default of an ARG is never looked at; the default base is judged without any."""
    text = "ARG tag\nFROM a:$tag\nFROM scratch\nARG x=$nothing\n"
    with_args = Surroundings(build_args={"tag": "1", "x": "2"})
    assert [finding.partition(":")[0] for _, finding in _check(text, with_args)] == ["InvalidDefaultArgInFrom"]
    assert [finding.partition(":")[0] for _, finding in _check(text, Surroundings())] == ["InvalidDefaultArgInFrom", "UndefinedVar"]


@given(TEXTS)
def test_any_file_that_parses_can_be_checked(text: str) -> None:
    """However odd it is."""
    with suppress(DockerfileError):
        parsed = parse_dockerfile(text)
        lines = [finding.span.first for finding in check_dockerfile(parsed, AROUND)]
        assert lines == sorted(lines)
