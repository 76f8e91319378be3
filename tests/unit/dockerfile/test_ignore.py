"""`.dockerignore`; the docker client itself is asked in `tests/compat/test_ignore_file.py`."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minidocker.dockerfile.ignore import (
    IgnoreRule,
    Verdict,
    decide,
    has_exception_below,
    is_ignored,
    keep_build_files,
    parse_ignore_file,
)
from minidocker.dockerfile.mistake import DockerfileError

PATTERNS = [
    ("a", "a", True), ("a", "b/a", False), ("a", "a/b/c", True), ("**/a", "b/c/a", True), ("**/a", "a", True), ("**/a", "ba", False),
    ("*", "a/b", True), ("*/a", "b/a", True), ("*/a", "a", False), ("*/a", "c/b/a", False), ("a?", "ab", True), ("a?", "a/", False),
    ("a/**", "a/b/c", True), ("a/**", "a", False), ("a/**/b", "a/b", True), ("a/**/b", "a/x/y/b", True), ("[a-c]x", "bx", True),
    ("[^a]x", "ax", False), ("\\*", "*", True), ("\\*", "a", False), ("a.b", "axb", False), ("/a/", "a", True), ("x/../a", "a", True),
    ("# a", "# a", False), (" # a", "# a", True), ("a\n!a", "a", False), ("!a\na", "a", True), ("a\n!a/b", "a/b/c", False),
    ("a\n!a/b\na/b/c", "a/b/c", True), ("*\n!*.md", "b/x.md", True), ("a**", "abc/d", True), ("**b", "a/cb", True),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "path", "expected"), PATTERNS, ids=[f"{rules!r} {path}" for rules, path, _ in PATTERNS])
def test_rules_decide(rules: str, path: str, *, expected: bool) -> None:
    """Anchored, last match wins, and what holds for a directory holds below it."""
    assert is_ignored(parse_ignore_file(rules), path) is expected


def test_verdict_names_its_rule() -> None:
    """`build --explain-context` shows it: which line kept or dropped a file."""
    rules = parse_ignore_file("# comment\n*.md\n\n  !README.md\n")
    dropped, kept, untouched = (decide(rules, path) for path in ("a.md", "README.md", "a.py"))
    assert dropped.rule is not None
    assert kept.rule is not None
    assert (dropped.rule.text, dropped.rule.line, dropped.is_ignored) == ("*.md", 2, True)
    assert (kept.rule.text, kept.rule.line, kept.is_ignored) == ("!README.md", 4, False)
    assert (untouched.rule, untouched.is_ignored) == (None, False)


MISTAKES = [("a\n!", 2, "illegal exclusion pattern"), ("!/", 1, "illegal exclusion pattern"), ("a[", 1, "syntax error in pattern"), ("[]a]", 1, "syntax error in pattern"), ("\n\\", 2, "syntax error in pattern")]


@pytest.mark.parametrize(("text", "line", "message"), MISTAKES, ids=[text for text, *_ in MISTAKES])
def test_pattern_that_means_nothing_is_refused(text: str, line: int, message: str) -> None:
    """With its place; a file beside the Dockerfile is named as it is called."""
    with pytest.raises(DockerfileError) as caught:
        parse_ignore_file(text, name="web.Dockerfile.dockerignore")
    assert message in caught.value.message
    assert f"\nweb.Dockerfile.dockerignore:{line}:1\n" in str(caught.value)


def test_builders_own_files_are_sent_anyway() -> None:
    """The builder reads them, even where COPY is not to see them."""
    rules = keep_build_files(parse_ignore_file("**\n"), "docker/[x]*")
    assert [is_ignored(rules, path) for path in (".dockerignore", "docker/[x]*", "docker/xy", "Dockerfile")] == [False, False, True, True]
    untouched = parse_ignore_file("a")
    assert keep_build_files(untouched, "Dockerfile") == untouched


NAMES = st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=4).map("/".join)
RULES = st.lists(
    st.builds(lambda mark, parts: mark + "".join(parts), st.sampled_from(["", "!"]), st.lists(st.sampled_from(["a", "b", "*", "**", "/", "?", "[ab]", "\\a"]), min_size=1, max_size=6)),
    min_size=1, max_size=4,
).map("\n".join)  # fmt: skip


def _find_rules(text: str) -> tuple[IgnoreRule, ...]:
    try:
        return parse_ignore_file(text)
    except DockerfileError:
        return ()


@given(RULES, NAMES, NAMES)
@example("a\n!a/b", "a", "b")
@example("a\n!**/b", "a/c", "b")
def test_directory_without_exceptions_may_be_left_out_whole(text: str, directory: str, below: str) -> None:
    """A walk need not look into `node_modules` if nothing there can come back: what is left out then is left out anyway."""
    rules = _find_rules(text)
    if is_ignored(rules, directory) and not has_exception_below(rules, directory):
        assert is_ignored(rules, f"{directory}/{below}")


@given(RULES, NAMES)
def test_walk_and_question_agree(text: str, path: str) -> None:
    """Asking for one path gives what a walk down to it gives."""
    rules = _find_rules(text)
    verdict = Verdict()
    for depth in range(1, path.count("/") + 2):
        verdict = decide(rules, "/".join(path.split("/")[:depth]), verdict)
    assert verdict.is_ignored == is_ignored(rules, path)
    assert (verdict.rule is not None) or not verdict.is_ignored


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_text_is_rules_or_refused(text: str, path: str) -> None:
    """No pattern may end in a traceback, whatever regular expressions think of it."""
    with suppress(DockerfileError):
        rules = parse_ignore_file(text)
        assert len(decide(rules, path).hits) == len(rules)


@pytest.mark.parametrize("pattern", ["[[a]", "[a&&b]", "[a--b]", "[*]", "[?]x", "a]", "(", "a|b", "{a}", "^a", "\\d*", "\\Q*", "*\\"], ids=str)
def test_letters_that_mean_something_to_python_do_not_surprise(pattern: str) -> None:
    """Neither a warning nor a traceback: only Docker's wildcards count."""
    with suppress(DockerfileError):
        assert decide(parse_ignore_file(pattern), "a|b").hits in ((True,), (False,))
