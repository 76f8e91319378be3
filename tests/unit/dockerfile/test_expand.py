"""What a word means: quotes, escapes and variables, as BuildKit's own lexer has them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.dockerfile.expand import expand, expand_instruction, expand_word, expand_words
from minidocker.dockerfile.instructions import Copy, Env, Expose, Heredoc, Label, Pair, Run, ShellForm
from minidocker.dockerfile.mistake import DockerfileError

ENVIRONMENT = {"v": "value", "empty": "", "path": "/usr/local/lib/a.tar.gz", "star": "a*b", "two": "80 443"}

WORDS = [
    ("", ""), ("plain", "plain"), ("$v", "value"), ("${v}x", "valuex"), ("$vx", ""), ("a$v$v", "avaluevalue"), ("$", "$"), ("$.", "$."),
    ("'$v'", "$v"), ('"$v"', "value"), ("\"'$v'\"", "'value'"), ("'\"'", '"'), (r"\$v", "$v"), (r'"\$v"', "$v"), (r"'\$v'", r"\$v"),
    (r"\\$v", r"\value"), (r'"a\b"', r"a\b"), (r"a\b", "ab"), ("end\\", "end"), ('"a\\"b"', 'a"b'), ("$1a", "a"), ("$12", ""), ("$@x", "x"),
    ("${v:-d}", "value"), ("${empty:-d}", "d"), ("${empty-d}", ""), ("${none:-d}", "d"), ("${none-d}", "d"), ("${none-}", ""),
    ("${v:+d}", "d"), ("${empty:+d}", ""), ("${empty+d}", "d"), ("${none+d}", ""), ("${v:?d}", "value"), ("${v?d}", "value"),
    ("${none:-$v}", "value"), ("${none:-${empty:-x}}", "x"), ("${none:-'}'}", "}"), (r"${none:-a\}b}", "a}b"), ("${none:-a b}", "a b"),
    ("${path#*/}", "usr/local/lib/a.tar.gz"), ("${path##*/}", "a.tar.gz"), ("${path%.*}", "/usr/local/lib/a.tar"),
    ("${path%%.*}", "/usr/local/lib/a"), ("${path#nothing}", "/usr/local/lib/a.tar.gz"), ("${path%/?.*}", "/usr/local/lib"),
    (r"${star%\**}", "a"), (r"${path/\/usr/X}", "X/local/lib/a.tar.gz"), (r"${path//l/L}", "/usr/LocaL/Lib/a.tar.gz"),
    ("${path/l*/X}", "/usr/X"), ("${v/a/}", "vlue"), ("${v//[a]/x}", "value"), ("${none#x}", ""), ("ä$v", "ävalue"), ("<$v", "<value"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "expected"), WORDS, ids=[word or "nothing" for word, _ in WORDS])
def test_word_is_expanded(word: str, expected: str) -> None:
    """A name that is not set is nothing; a colon lets an empty value count as unset; patterns know only `*` and `?`."""
    assert expand_word(word, ENVIRONMENT) == expected


MISTAKES = [
    ("'a", "unexpected end of statement while looking for matching single-quote"),
    ('"a', "unexpected end of statement while looking for matching double-quote"),
    ("${v", "syntax error: missing '}'"),
    ("${", "syntax error: missing '}'"),
    ("${}", "syntax error: bad substitution"),
    ("${:-a}", "syntax error: bad substitution"),
    ("${v:-a", "syntax error: missing '}'"),
    ("${v/a}", "syntax error: missing '/' in ${}"),
    ("${v/a/b", "syntax error: missing '}'"),
    ("${v:#a}", "unsupported modifier (:#) in substitution"),
    ("${v^}", "unsupported modifier (^) in substitution"),
    (r"${v#\a}", "invalid pattern (\\a) in substitution: invalid escape '\\a'"),
    ("${none?}", "none: is not allowed to be unset"),
    ("${empty:?}", "empty: is not allowed to be empty"),
    ("${none:?give it}", "none: give it"),
    ("${a:-" * 60, "variables are nested more than 50 deep"),
]


@pytest.mark.parametrize(("word", "message"), MISTAKES, ids=[word[:20] for word, _ in MISTAKES])
def test_word_that_means_nothing_is_refused(word: str, message: str) -> None:
    """In BuildKit's words, which people search for."""
    with pytest.raises(DockerfileError) as caught:
        expand_word(word, ENVIRONMENT)
    assert caught.value.message.startswith("failed to process ")
    assert message in caught.value.message


def test_backtick_escapes_where_the_directive_says_so() -> None:
    """On Windows a path is full of backslashes, hence `# escape=` and a backtick."""
    assert expand_word("C:\\dir`$v", ENVIRONMENT, "`") == "C:\\dir$v"


def test_words_are_split_after_expansion() -> None:
    """`EXPOSE $ports` may expose several; quotes keep a word together, variables do not."""
    assert expand_words("a  $two", ENVIRONMENT) == ("a", "80", "443")
    assert expand_words("'a  b' c\\ d", ENVIRONMENT) == ("a  b", "c d")
    assert expand_words("  ", ENVIRONMENT) == ()


def test_names_that_were_asked_for_are_told_apart() -> None:
    """A build argument that nobody asked for, and a variable that nobody set, are both worth a warning."""
    found = expand("$v ${none:-$gone}", ENVIRONMENT)
    assert (set(found.used), set(found.unset)) == ({"v"}, {"none", "gone"})


@given(st.text())
def test_any_text_is_expanded_or_refused(text: str) -> None:
    """There is no third way out, such as a traceback."""
    with suppress(DockerfileError):
        assert all(expand(text, ENVIRONMENT).words)


@given(st.text(alphabet="ab$ {}'\"\\:-#%/*?<"),)
def test_value_is_never_expanded_again(text: str) -> None:
    """What a variable holds is data: `$` or a quote in a value means nothing, or values could inject words."""
    assert expand_word("$a", {"a": text}) == text
    assert expand_word('"${a}${a}"', {"a": text}) == text * 2


def test_instruction_is_expanded_where_docker_says_so() -> None:
    """`--from` is not: which stages a build needs must be known before anything runs. Commands are the shell's to expand."""
    copy = Copy(sources=("$v",), destination="/$v/", chown="$v", from_="$v", heredocs=(Heredoc(name="E", content="$v '$v'\n"),))
    expanded = expand_instruction(copy, ENVIRONMENT)
    assert (expanded.sources, expanded.destination, expanded.chown, expanded.from_) == (("value",), "/value/", "value", "$v")
    assert expanded.heredocs[0].body == "value 'value'\n"
    run = Run(command=ShellForm(line="echo $v"))
    assert expand_instruction(run, ENVIRONMENT) is run
    assert expand_instruction(Expose(ports=("$two/tcp",)), ENVIRONMENT).ports == ("80", "443/tcp")


@pytest.mark.parametrize("kind", [Env, Label])
def test_one_instruction_sees_the_variables_before_it(kind: type[Env | Label]) -> None:
    """`ENV v=new w=$v` gives `w` the old value: all words are expanded, then all are set."""
    pairs = (Pair(name="v", value="new"), Pair(name="w", value='"$v x"'))
    assert expand_instruction(kind(pairs=pairs), ENVIRONMENT).pairs[1] == Pair(name="w", value="value x")
