"""The name of content: OCI image specification, "Digests"."""

from __future__ import annotations

import hashlib

import pytest

from minidocker.errors import InvalidParameter

DIGITS = "0123456789abcdef" * 4


@pytest.mark.parametrize("content", [b"", b"{}", b"text\n", bytes(range(256))], ids=repr)
def test_digest_is_the_sha256_of_the_bytes(compute_digest, content):
    """Two engines that never met must give the same name to the same bytes, whatever these are: layers are no text."""
    assert compute_digest(content).hex == hashlib.sha256(content).hexdigest()


def test_one_changed_byte_changes_the_digest(compute_digest):
    """Another command is another configuration, and so another image; even a blank, which means nothing in JSON, is enough."""
    one, other, blank = (compute_digest(text) for text in (b'{"Cmd":["sh"]}', b'{"Cmd":["ls"]}', b'{"Cmd":["sh"]} '))
    assert len({one.hex, other.hex, blank.hex}) == 3


def test_digest_written_and_read_is_the_same(compute_digest, parse_digest):
    """A manifest names content as text; who reads it finds the same content."""
    digest = compute_digest(b"content")
    assert parse_digest(f"sha256:{digest.hex}") == digest


@pytest.mark.parametrize("algorithm", ["sha512", "md5", "SHA256", ""])
def test_other_algorithm_is_refused(parse_digest, algorithm):
    """Content that is checked with another algorithm than the one it was named by is not checked at all."""
    with pytest.raises(InvalidParameter, match="invalid digest"):
        parse_digest(f"{algorithm}:{DIGITS}")


def test_digits_without_algorithm_are_refused(parse_digest):
    """Digits alone could as well be the id of a container; only the algorithm makes them the name of content."""
    with pytest.raises(InvalidParameter, match="invalid digest"):
        parse_digest(DIGITS)


@pytest.mark.parametrize("digits", ["../../etc/passwd", "", DIGITS[1:], DIGITS + "0", "/" + DIGITS[1:], f"{DIGITS}/..", f"sha256:{DIGITS}"])
def test_path_never_becomes_a_digest(parse_digest, digits):
    """The store appends the digits to a directory: `sha256:../../x` was a way out of it (CVE-2024-3727)."""
    with pytest.raises(InvalidParameter, match="invalid digest"):
        parse_digest(f"sha256:{digits}")


def test_capital_digits_are_refused(parse_digest):
    """The specification knows lower case only: content with two spellings would be stored twice, and found once."""
    with pytest.raises(InvalidParameter, match="invalid digest"):
        parse_digest(f"sha256:{DIGITS.upper()}")
