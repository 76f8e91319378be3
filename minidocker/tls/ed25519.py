"""Ed25519 signatures: a key pair, and signing with it.

The curve is -x² + y² = 1 + d·x²·y² over the integers modulo 2²⁵⁵ - 19. A private key is 32 random bytes; their SHA-512 gives a number,
and that many times the base point is the public key. Points are kept as (X, Y, Z, T) with x = X/Z, y = Y/Z, x·y = T/Z, so that adding
two needs no division.

Pure. What does not work: using this where somebody can measure how long it takes. Python's integers do not take constant time, so
keys here sign certificates on their owner's machine, and TLS itself is done by OpenSSL. See RFC 8032, section 5.1. Chapter 20.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["compute_public_key", "is_valid_signature", "sign"]

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Of the base point: so many times it is zero again."""
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)

Point = tuple[int, int, int, int]


def _add(a: Point, b: Point) -> Point:
    """Add two points; the same formula doubles one."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % _P
    f = (a[1] + a[0]) * (b[1] + b[0]) % _P
    g, h = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    p, q, r, s = f - e, h - g, h + g, f + e
    return p * q % _P, r * s % _P, q * r % _P, p * s % _P


def _multiply(number: int, point: Point) -> Point:
    """Add *point* to itself *number* times, by doubling."""
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = _add(result, point)
        point = _add(point, point)
        number >>= 1
    return result


def _find_x(y: int, sign: int) -> int | None:
    """Return the x of the point with this *y* and the lowest bit *sign*, if there is one."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_MINUS_ONE % _P
    if y >= _P or (x * x - square) % _P or (x == 0 and sign):
        return None
    return x if x & 1 == sign else _P - x


def _make_base() -> Point:
    y = 4 * pow(5, -1, _P) % _P
    x = _find_x(y, 0) or 0
    return x, y, 1, x * y % _P


_BASE: Final = _make_base()


def _compress(point: Point) -> bytes:
    """Return *point* as 32 bytes: y, with the lowest bit of x in the highest."""
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decompress(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y = number & (1 << 255) - 1
    x = _find_x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % _P)


def _expand(private_key: bytes) -> tuple[int, bytes]:
    """Return the number behind a private key, and the secret that makes its signatures' random-looking part."""
    digest = hashlib.sha512(private_key).digest()
    number = int.from_bytes(digest[:32], "little")
    return number & ((1 << 254) - 8) | 1 << 254, digest[32:]


def _hash(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % _ORDER


def compute_public_key(private_key: bytes) -> bytes:
    """Return the public key of *private_key*, 32 random bytes."""
    return _compress(_multiply(_expand(private_key)[0], _BASE))


def sign(private_key: bytes, message: bytes) -> bytes:
    """Return the signature of *message*, always the same for the same key."""
    number, secret = _expand(private_key)
    public_key = compute_public_key(private_key)
    once = _hash(secret, message)
    commitment = _compress(_multiply(once, _BASE))
    return commitment + ((once + _hash(commitment, public_key, message) * number) % _ORDER).to_bytes(32, "little")


def is_valid_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether *signature* was made for *message* by the owner of *public_key*."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    owner, commitment = _decompress(public_key), _decompress(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if owner is None or commitment is None or answer >= _ORDER:
        return False
    challenge = _hash(signature[:32], public_key, message)
    return _compress(_multiply(answer, _BASE)) == _compress(_add(commitment, _multiply(challenge, owner)))
