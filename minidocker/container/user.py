"""Who a container runs as: `--user` and `--group-add`, looked up in the image's own `/etc/passwd` and `/etc/group`.

Pure: the contents of the two files come in as bytes. They belong to the image, so they are not trusted: whoever reads
them takes regular files only and at most `MAX_DATABASE_BYTES` (CVE-2024-9676); lines of the wrong form are passed over.

The forms are `user`, `user:group`, with names or numbers. Rule: digits are a number and never a name, and a number that
does not fit is refused, never cut or turned into 0 (CVE-2026-46680, CVE-2026-30892). See passwd(5), group(5). Chapter 16.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from minidocker.errors import InvalidParameter

__all__ = ["MAX_DATABASE_BYTES", "MAX_ID", "User", "resolve_user"]

MAX_ID: Final = 2**31 - 1
"""The highest uid or gid, as in runc: the kernel's ids have 32 bits, but -1 means "no change"."""

MAX_DATABASE_BYTES: Final = 10 * 1024 * 1024
"""How much of `/etc/passwd` and of `/etc/group` is looked at; a large organisation's list has about a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A resolved user: what setuid(2), setgid(2) and setgroups(2) are called with, and HOME."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """Supplementary groups, sorted. The primary group is one of them, so that a set-group-id program does not lose it
    and with it a restriction (CVE-2022-36109)."""
    home: str = "/"


class _Account(NamedTuple):
    name: bytes
    uid: int
    gid: int
    home: bytes


class _Group(NamedTuple):
    name: bytes
    gid: int
    members: bytes
    """Names with commas between them."""


def resolve_user(user: str, passwd: bytes, group: bytes, extra_groups: tuple[str, ...] = ()) -> User:
    """Return who *user* (`""` is root) is, with the groups that `--group-add` names besides.

    Raises:
        InvalidParameter: a name that the files do not have, a number beyond `MAX_ID`, or a file that is too long: its
            last line would be cut, and half a number is another number.
    """
    if max(len(passwd), len(group)) > MAX_DATABASE_BYTES:
        raise InvalidParameter(f"look up user `{user[:80]}`: the image's passwd or group file has over 10 MiB")
    user_part, _, group_part = user.partition(":")
    account = _find_account(user_part or "0", passwd)
    supplementary: set[int] = set()
    gid = account.gid
    if group_part:
        gid = _find_group(group_part, group)
    elif account.name:
        supplementary.update(one.gid for one in _groups(group) if account.name in one.members.split(b","))
    supplementary.add(gid)
    supplementary.update(_find_group(name, group) for name in extra_groups)
    home = account.home.decode("utf-8", "surrogateescape") or "/"
    return User(uid=account.uid, gid=gid, groups=tuple(sorted(supplementary)), home=home)


def _find_account(wanted: str, passwd: bytes) -> _Account:
    """Return the first account of that number or name; a number needs none."""
    number = _parse_id(wanted)
    name = wanted.encode("utf-8", "surrogateescape")
    for account in _accounts(passwd):
        if account.uid == number if number is not None else account.name == name:
            return account
    if number is None:
        raise InvalidParameter(
            f"unable to find user {wanted[:80]}: no matching entries in passwd file",
            hint="use a name from the image's /etc/passwd, or a number",
        )
    return _Account(b"", number, 0, b"/")


def _find_group(wanted: str, group: bytes) -> int:
    """Return the number of the group *wanted*, which is a number or a name."""
    number = _parse_id(wanted)
    if number is not None:
        return number
    name = wanted.encode("utf-8", "surrogateescape")
    for one in _groups(group):
        if one.name == name:
            return one.gid
    raise InvalidParameter(
        f"unable to find group {wanted[:80]}: no matching entries in group file",
        hint="use a name from the image's /etc/group, or a number",
    )


def _parse_id(text: str) -> int | None:
    """Return the number that *text* spells, `None` for a name; a sign does not make digits a name.

    Raises:
        InvalidParameter: a number outside 0 to `MAX_ID`.
    """
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    significant = digits.lstrip("0")
    if len(significant) > len(str(MAX_ID)) or int(significant or "0") > MAX_ID or (text[0] == "-" and significant):
        raise InvalidParameter(f"invalid user or group `{text[:80]}`: ids must be in range 0-{MAX_ID}")
    return int(significant or "0")


def _accounts(passwd: bytes) -> Iterator[_Account]:
    """Yield the accounts of passwd(5): name:password:uid:gid:comment:home:shell."""
    for name, fields in _lines(passwd, at_least=4):
        if _is_id(fields[2]) and _is_id(fields[3]):
            yield _Account(name, int(fields[2]), int(fields[3]), fields[5] if len(fields) > 5 else b"")


def _groups(group: bytes) -> Iterator[_Group]:
    """Yield the groups of group(5): name:password:gid:member,member."""
    for name, fields in _lines(group, at_least=3):
        if _is_id(fields[2]):
            yield _Group(name, int(fields[2]), fields[3] if len(fields) > 3 else b"")


def _lines(database: bytes, *, at_least: int) -> Iterable[tuple[bytes, list[bytes]]]:
    """Yield the first field and all fields of each line that has enough of them; comments and NIS marks are none."""
    for line in database.split(b"\n"):
        fields = line.strip().split(b":")
        if len(fields) >= at_least and fields[0] and fields[0][:1] not in b"#+-":
            yield fields[0], fields


def _is_id(field: bytes) -> bool:
    """Whether *field* is a number that the kernel can use; anything else would have to become a wrong one."""
    return field.isdigit() and len(field) <= 10 and int(field) <= MAX_ID
