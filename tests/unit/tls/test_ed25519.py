"""Ed25519: the vectors of RFC 8032, and what a signature is for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidocker.tls.ed25519 import compute_public_key, is_valid_signature, sign

VECTORS = {
    "empty": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "one-byte": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "two-bytes": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("private", "public", "message", "signature"), VECTORS.values(), ids=VECTORS)
def test_vector_of_the_rfc_holds(private: str, public: str, message: str, signature: str) -> None:
    """The numbers of the specification (section 7.1): whoever computes otherwise cannot talk to anybody."""
    key = bytes.fromhex(private)
    assert compute_public_key(key).hex() == public
    assert sign(key, bytes.fromhex(message)).hex() == signature
    assert is_valid_signature(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@settings(max_examples=10)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 64 * 8 - 1))
def test_changed_signature_is_not_valid(key: bytes, message: bytes, bit: int) -> None:
    """One bit of it, wherever: the signature is of nobody."""
    signature = bytearray(sign(key, message))
    public_key = compute_public_key(key)
    assert is_valid_signature(public_key, message, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not is_valid_signature(public_key, message, bytes(signature))
    assert not is_valid_signature(public_key, message + b"!", sign(key, message))


def test_signature_of_a_wrong_length_is_not_valid() -> None:
    """What comes from outside is looked at before it is computed with."""
    assert not is_valid_signature(b"", b"", bytes(64))
    assert not is_valid_signature(bytes(32), b"", b"")
