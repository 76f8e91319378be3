"""DER: one way to write each value."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.tls.der import render_integer, render_oid, render_time, render_value


@given(st.binary(max_size=70_000))
def test_length_is_as_short_as_can_be(content: bytes) -> None:
    """Another way to write the same length would be another certificate with the same meaning; DER forbids it."""
    value = render_value(0x04, content)
    if value[1] < 0x80:
        assert (value[1], value[2:]) == (len(content), content)
    else:
        count = value[1] - 0x80
        assert int.from_bytes(value[2 : 2 + count], "big") == len(content) >= 0x80
        assert value[2] != 0
        assert value[2 + count :] == content


@given(st.integers(0, 1 << 140))
def test_integer_is_not_negative_by_accident(number: int) -> None:
    """The highest bit is the sign: a number that begins with it gets a zero in front, and no more zeros than that."""
    content = render_integer(number)[2:]
    assert int.from_bytes(content, "big", signed=True) == number
    assert len(content) == 1 or content[0] or content[1] & 0x80


OIDS = {"ed25519": ("1.3.101.112", "06032b6570"), "common-name": ("2.5.4.3", "0603550403"), "long": ("1.3.6.1.5.5.7.3.1", "06082b06010505070301"), "two-bytes": ("1.2.840", "06032a8648")}


@pytest.mark.parametrize(("dotted", "expected"), OIDS.values(), ids=OIDS)
def test_object_identifier_packs_seven_bits_a_byte(dotted: str, expected: str) -> None:
    """Known identifiers, as every certificate has them."""
    assert render_oid(dotted).hex() == expected


def test_time_has_four_digits_for_years_from_2050() -> None:
    """Two digits would be read as the last century's (RFC 5280, section 4.1.2.5)."""
    assert render_time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)) == b"\x17\x0d491231235959Z"
    assert render_time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"
