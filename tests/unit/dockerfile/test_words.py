"""What follows an instruction's name: flags, then JSON, words or a line."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.words import parse_json_words, split_instruction, split_words

ARRAYS = [
    ('["a", "b c"]', ("a", "b c")), ("[]", ()), ('["\\u00e4\\n"]', ("ä\n",)), ('[ "a" ] ', ("a",)), ("['a']", None), ('["a"', None),
    ('["a",]', None), ('["a"] b', None), ("a", None), ("[a b]", None), ("[NaN]", None), ("[" * 100_000, None), ('["\\ud800"]', ("\ufffd",)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ARRAYS, ids=[text[:12] for text, _ in ARRAYS])
def test_only_json_is_an_array(text: str, expected: tuple[str, ...] | None) -> None:
    """Single quotes are the classic trap: `CMD ['a']` runs a shell with the line `['a']`."""
    assert parse_json_words(text) == expected


@pytest.mark.parametrize("text", ["[1]", '["a", null]', '[["a"]]', "[1e999]", "[" + "9" * 5000 + "]"], ids=lambda text: text[:12])
def test_array_of_anything_but_texts_is_refused(text: str) -> None:
    """It is JSON, so it was meant as one, and execve(2) takes texts."""
    with pytest.raises(DockerfileError, match="arrays must be comprised of strings only"):
        parse_json_words(text)


SPLIT = [
    ("a b\tc", ("a", "b", "c")), ("a='b c' d", ("a='b c'", "d")), ('a="b \\" c" d', ('a="b \\" c"', "d")), (r"a\ b c", (r"a\ b", "c")),
    ("a='b\\' c", ("a='b\\'", "c")), ('""', ('""',)), ("'a b", ("'a b",)), ("a \\", ("a",)), ("", ()), ("a\x1cb", ("a\x1cb",)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SPLIT, ids=[text or "nothing" for text, _ in SPLIT])
def test_words_keep_quotes_and_escapes(text: str, expected: tuple[str, ...]) -> None:
    """They are still needed: inside single quotes no variable is replaced."""
    assert split_words(text) == expected


FLAGS = [
    ("COPY --from=a --link b c", ("--from=a", "--link"), ("b", "c")),
    ("COPY --chown='a b' c d", ("--chown=a b",), ("c", "d")),
    (r"COPY --chown=a\ b c d", ("--chown=a b",), ("c", "d")),
    ("RUN -- --x y", (), ("--x y",)),
    ("RUN -x --y", (), ("-x --y",)),
    ("RUN --network=none", ("--network=none",), ()),
    ('COPY --chown="a', ("--chown=a",), ()),
]


@pytest.mark.parametrize(("line", "flags", "words"), FLAGS, ids=[line for line, *_ in FLAGS])
def test_flags_come_first(line: str, flags: tuple[str, ...], words: tuple[str, ...]) -> None:
    """The first word without two dashes ends them, and so do two dashes alone."""
    _, arguments = split_instruction(line, "\\")
    assert (arguments.flags, arguments.words) == (flags, words)


PAIRS = [
    ("ENV a=b c='d e'", ("a", "b", "c", "'d e'"), False),
    ("ENV a  b  c=d ", ("a", "b  c=d"), True),
    ("ENV a= b=c", ("a", "", "b", "c"), False),
    ("LABEL a b", ("a", "b"), True),
    ("LABEL a=b=c", ("a", "b=c"), False),
]


@pytest.mark.parametrize(("line", "words", "is_legacy"), PAIRS, ids=[line for line, *_ in PAIRS])
def test_pairs_have_an_old_form(line: str, words: tuple[str, ...], *, is_legacy: bool) -> None:
    """Whether the first word has `=` decides: without it the rest of the line is one value."""
    _, arguments = split_instruction(line, "\\")
    assert (arguments.words, arguments.is_legacy) == (words, is_legacy)


@pytest.mark.parametrize(("line", "message"), [("ENV a", "ENV must have two arguments"), ("LABEL a=b c", "can't find = in \"c\"")])
def test_pair_without_value_is_refused(line: str, message: str) -> None:
    """The old form cannot be mixed with the new one."""
    with pytest.raises(DockerfileError) as caught:
        split_instruction(line, "\\")
    assert message in caught.value.message
