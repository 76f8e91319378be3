"""Password files, with hashes that other programs made."""

from __future__ import annotations

import base64

import pytest

from minidocker.registry.bcrypt import hash_password, verify_password as verify_bcrypt
from minidocker.registry.htpasswd import PasswordFile, parse_basic, parse_htpasswd, verify_password

# Made with htpasswd(1), openssl-passwd(1) and crypt(3).
HASHES = {
    "bcrypt, empty": ("", "$2a$04$DCq7YPn5Rq63x1Lad4cll.gPqnXZmDhhq3zJUTSJckzck53/zZY4W"),
    "bcrypt, letter": ("a", "$2y$05$m0CrhHm10qJ3lXRY.5zDGOAqUKnMTrSF75QMUJt86UyYZb08DKhIq"),
    "apr1, short": ("a", "$apr1$abcdefgh$G8IsPsylW5ROvIKsQMRG61"),
    "apr1": ("secret", "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"),
    "apr1, long": ("a much longer password than sixteen bytes", "$apr1$abcdefgh$Eqv4oIyMsS.tjfvQCJYY1/"),
    "SHA": ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
}


@pytest.mark.parametrize(("password", "hashed"), HASHES.values(), ids=HASHES)
def test_password_is_verified_against_the_hash_of_another_program(password: str, hashed: str) -> None:
    """The file is made by `htpasswd`; we only read it."""
    assert verify_password(password, hashed)
    assert not verify_password(f"{password}x", hashed)


@pytest.mark.parametrize("hashed", ["secret", "", "$2y$31$" + "a" * 53, "$2y$05$short", "$6$x$y", "{SHA}", "rqXexS6ZhobKA"])
def test_hash_of_another_kind_lets_nobody_in(hashed: str) -> None:
    """Plain text and DES are refused; a cost that would take hours is not even begun."""
    assert not verify_password("secret", hashed)


def test_bcrypt_counts_72_bytes() -> None:
    """A limit of the original: what follows makes no difference, in every implementation."""
    assert hash_password(b"x" * 72, bytes(16), 4) == hash_password(b"x" * 100, bytes(16), 4)
    assert hash_password(b"x" * 71, bytes(16), 4) != hash_password(b"x" * 72, bytes(16), 4)
    assert not verify_bcrypt(b"", "$2a$99$" + "." * 53)


def test_file_has_one_user_a_line() -> None:
    """Comments are skipped, and the first line of a name counts, as in Apache."""
    assert parse_htpasswd("# people\na:1\n\nb:2:3\na:9\n:x\nc\n") == {"a": "1", "b": "2:3"}


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(("header", "expected"), {basic("a:b:c"): ("a", "b:c"), "basic " + basic("a:")[6:]: ("a", ""), basic("a"): None,
                                                  "Bearer x": None, "Basic !": None, "": None, "Basic /w==": None}.items())  # fmt: skip
def test_basic_header_has_a_name_and_the_rest(header: str, expected: tuple[str, str] | None) -> None:
    """A password may contain colons, a name may not."""
    assert parse_basic(header) == expected


def test_right_password_is_remembered_and_wrong_ones_are_not() -> None:
    """A push asks a hundred times; bcrypt is slow on purpose."""
    people = PasswordFile({"a": HASHES["SHA"][1]}, key=b"k")
    assert people.find_user(basic("a:secret")) == people.find_user(basic("a:secret")) == "a"
    assert [people.find_user(basic(text)) for text in ("a:wrong", "b:secret", "a:")] == ["", "", ""]
