"""Command lines are read as Docker's Go library reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.flags import BOOL, BYTES, DURATION, INT, LIST, STRING, Flag, HelpRequested, Kind, UsageError, parse_flags

FLAGS = (
    Flag("interactive", BOOL, "", short="i"),
    Flag("tty", BOOL, "", short="t"),
    Flag("proxy", BOOL, "", default=True),
    Flag("name", STRING, "", short="n"),
    Flag("publish", LIST, "", short="p"),
    Flag("ports", LIST, "", stored_as="publish", hidden=True),
    Flag("time", INT, ""),
    Flag("memory", BYTES, "", short="m"),
    Flag("interval", DURATION, ""),
    Flag("explain", Kind("form", str, "", bare="text"), ""),
)

SPELLINGS = [
    (["-it"], "interactive", True),
    (["-it"], "tty", True),
    (["-i=false"], "interactive", False),
    (["--tty=1"], "tty", True),
    (["--proxy=F"], "proxy", False),
    ([], "proxy", True),
    (["--name", "x"], "name", "x"),
    (["--name=x"], "name", "x"),
    (["--name=a=b"], "name", "a=b"),
    (["--name", "--tty"], "name", "--tty"),
    (["--name="], "name", ""),
    (["-nx"], "name", "x"),
    (["-n=x"], "name", "x"),
    (["-n", "x"], "name", "x"),
    (["-itnx"], "name", "x"),
    (["--name", "a", "--name", "b"], "name", "b"),
    (["--time", "-1"], "time", -1),
    (["--time", "0x10"], "time", 16),
    (["-m", "64m"], "memory", 64 << 20),
    (["--interval", "1m30s"], "interval", 90_000_000_000),
    (["--explain"], "explain", "text"),
    (["--explain=json"], "explain", "json"),
]


@pytest.mark.parametrize(("words", "name", "value"), SPELLINGS, ids=lambda item: str(item))
def test_flag_is_read_in_every_spelling(words: list[str], name: str, value: object) -> None:
    """Scripts use all of them."""
    options = parse_flags(FLAGS, words)
    reader = {bool: options.switch, int: options.number, str: options.text}[type(value)]
    assert reader(name) == value
    assert options.arguments == []


MISTAKES = [
    (["--foo"], "unknown flag: --foo"),
    (["--foo=1"], "unknown flag: --foo"),
    (["-z"], "unknown shorthand flag: 'z' in -z"),
    (["-iz"], "unknown shorthand flag: 'z' in -z"),
    (["-zi"], "unknown shorthand flag: 'z' in -zi"),
    (["--name"], "flag needs an argument: --name"),
    (["-n"], "flag needs an argument: 'n' in -n"),
    (["---name"], "bad flag syntax: ---name"),
    (["--=x"], "bad flag syntax: --=x"),
    (["--tty=x"], 'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax'),
    (["--time", "x"], 'invalid argument "x" for "--time" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    (["-m", "5x"], 'invalid argument "5x" for "-m, --memory" flag: invalid suffix: \'x\''),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=lambda item: str(item))
def test_mistake_has_dockers_words(words: list[str], message: str) -> None:
    """The sentence names the flag as it was typed, and the status is 125."""
    with pytest.raises(UsageError) as caught:
        parse_flags(FLAGS, words)
    assert caught.value.message == message
    assert caught.value.exit_status == 125


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["x", "--help"], ["-ith"]], ids=str)
def test_help_is_asked_for_by_flag(words: list[str]) -> None:
    """Help wins wherever it stands among the flags."""
    with pytest.raises(HelpRequested):
        parse_flags(FLAGS, words)


def test_flags_behind_the_command_belong_to_it() -> None:
    """`run image ls -l`: only what stands before the image is for us."""
    options = parse_flags(FLAGS, ["-i", "image", "ls", "-t", "--help"], interspersed=False)
    assert options.arguments == ["image", "ls", "-t", "--help"]
    assert not options.switch("tty")


def test_two_dashes_end_the_flags() -> None:
    """Behind `--` everything is an argument, also where flags may follow arguments."""
    assert parse_flags(FLAGS, ["a", "--", "-i", "--"]).arguments == ["a", "-i", "--"]


def test_single_dash_is_an_argument() -> None:
    """`import -` reads standard input."""
    assert parse_flags(FLAGS, ["-", "-i"]).arguments == ["-"]


def test_other_spelling_stores_into_the_same_flag() -> None:
    """`--net` and `--network` are one list, in the order of the command line."""
    options = parse_flags(FLAGS, ["-p", "1", "--ports", "2", "--publish=3"])
    assert options.texts("publish") == ["1", "2", "3"]
    assert options.given == {"publish"}


ARGUMENT = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(arguments=st.lists(ARGUMENT, max_size=5), switches=st.lists(st.sampled_from(["-i", "-t", "--tty"]), max_size=3), data=st.data())
def test_order_of_flags_and_arguments_does_not_matter(arguments: list[str], switches: list[str], data: st.DataObject) -> None:
    """Where flags may follow arguments, moving them changes nothing."""
    mixed = list(arguments)
    for switch in switches:
        mixed.insert(data.draw(st.integers(0, len(mixed))), switch)
    options = parse_flags(FLAGS, mixed)
    assert options.arguments == arguments or sorted(options.arguments) == sorted(arguments)
    assert options.switch("interactive") == ("-i" in switches)


@given(words=st.lists(st.text(max_size=8), max_size=6))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    """Nothing that can be typed makes the program fall over."""
    try:
        options = parse_flags(FLAGS, words)
    except (UsageError, HelpRequested):
        return
    assert len(options.arguments) <= len(words)
