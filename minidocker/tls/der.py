"""DER: how the values in a certificate are written down, in exactly one way.

A value is a tag, the length of its content, the content; a sequence holds values. A length below 128 is one byte, a longer one has a
byte that says how many bytes of length follow. Pure. See ITU-T X.690. Chapter 20.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

__all__ = [
    "SEQUENCE", "SET", "render_bits", "render_boolean", "render_integer", "render_name", "render_octets", "render_oid", "render_text", "render_time",
    "render_value",
]  # fmt: skip

SEQUENCE: Final = 0x30
SET: Final = 0x31


def render_value(tag: int, *contents: bytes) -> bytes:
    """Return the value with *tag* whose content is *contents*, one after the other."""
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def render_integer(number: int) -> bytes:
    """Return a number that is not negative; its highest bit is free, because that would be the sign."""
    return render_value(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def render_boolean(value: bool) -> bytes:
    """Return a truth value."""
    return render_value(0x01, b"\xff" if value else b"\0")


def render_octets(content: bytes) -> bytes:
    """Return a string of bytes."""
    return render_value(0x04, content)


def render_bits(content: bytes, *, unused: int = 0) -> bytes:
    """Return a string of bits, of which the last *unused* do not count."""
    return render_value(0x03, bytes((unused,)), content)


def render_text(text: str) -> bytes:
    """Return a text."""
    return render_value(0x0C, text.encode())


def render_oid(dotted: str) -> bytes:
    """Return an object identifier: the first two numbers share a byte, the others have seven bits in each."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytes((40 * first + second,))
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return render_value(0x06, content)


def render_time(moment: datetime) -> bytes:
    """Return a moment of universal time: with two digits for years before 2050, as X.509 wants it, with four from then on."""
    if moment.year < 2050:
        return render_value(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return render_value(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def render_name(common_name: str, organisation: str) -> bytes:
    """Return a distinguished name of two parts."""
    parts = (("2.5.4.10", organisation), ("2.5.4.3", common_name))
    return render_value(
        SEQUENCE, *(render_value(SET, render_value(SEQUENCE, render_oid(kind), render_text(text))) for kind, text in parts)
    )
