"""Who a container runs as: names and numbers, and the image's own lists."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidocker.container.user import MAX_DATABASE_BYTES, MAX_ID, User, resolve_user
from minidocker.errors import InvalidParameter

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
# comment:x:1:1::/:
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
www:x:33:33:web server:/var/www:/bin/sh\r
web:x:33:34::/second:/bin/sh
1234:x:77:78:a name of digits:/digits:/bin/sh
broken:x:none:5::/broken:/bin/sh
huge:x:4294967296:5::/huge:/bin/sh
short:x:5
homeless:x:88:88
m\xfcller:x:99:99::/home/m\xfcller:/bin/sh
"""
GROUP = b"""\
root:x:0:root
adm:x:4:www,daemon
www:x:33:
broken:x:many:www
docker:x:999:www
docker:x:998:www
"""


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        pytest.param("", User(uid=0, gid=0, groups=(0,), home="/root"), id="empty-is-root"),
        pytest.param("root", User(uid=0, gid=0, groups=(0,), home="/root"), id="root"),
        pytest.param("www", User(uid=33, gid=33, groups=(4, 33, 998, 999), home="/var/www"), id="name"),
        pytest.param("33", User(uid=33, gid=33, groups=(4, 33, 998, 999), home="/var/www"), id="number-first-match"),
        pytest.param("www:adm", User(uid=33, gid=4, groups=(4,), home="/var/www"), id="explicit-group-is-the-only-one"),
        pytest.param(
            "www:docker", User(uid=33, gid=999, groups=(999,), home="/var/www"), id="first-group-of-that-name"
        ),
        pytest.param("www:", User(uid=33, gid=33, groups=(4, 33, 998, 999), home="/var/www"), id="empty-group"),
        pytest.param(":4", User(uid=0, gid=4, groups=(4,), home="/root"), id="group-only"),
        pytest.param("5000", User(uid=5000, gid=0, groups=(0,), home="/"), id="number-without-entry"),
        pytest.param("5000:6000", User(uid=5000, gid=6000, groups=(6000,), home="/"), id="both-without-entry"),
        pytest.param("1234", User(uid=1234, gid=0, groups=(0,), home="/"), id="digits-are-never-a-name"),
        pytest.param("0001", User(uid=1, gid=1, groups=(1, 4), home="/usr/sbin"), id="leading-zeros"),
        pytest.param(str(MAX_ID), User(uid=MAX_ID, gid=0, groups=(0,), home="/"), id="highest"),
        pytest.param("homeless", User(uid=88, gid=88, groups=(88,), home="/"), id="no-home"),
        pytest.param("m\udcfcller", User(uid=99, gid=99, groups=(99,), home="/home/m\udcfcller"), id="not-utf-8"),
    ],
)
def test_user_is_resolved_as_by_runc(user: str, expected: User) -> None:
    """The first entry that fits counts, and an explicit group shuts out those of /etc/group."""
    assert resolve_user(user, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "message"),
    [
        pytest.param("foo", "unable to find user foo: no matching entries in passwd file", id="unknown-user"),
        pytest.param("root:foo", "unable to find group foo: no matching entries in group file", id="unknown-group"),
        pytest.param("broken", "unable to find user broken", id="entry-with-a-wrong-uid"),
        pytest.param("huge", "unable to find user huge", id="entry-with-a-uid-that-would-wrap-to-0"),
        pytest.param("short", "unable to find user short", id="entry-without-a-gid"),
        pytest.param("# comment", "unable to find user", id="comment"),
        pytest.param("2147483648", "must be in range 0-2147483647", id="beyond-the-range"),
        pytest.param("4294967296", "must be in range", id="would-wrap-to-0"),
        pytest.param("9" * 5000, "must be in range", id="5000-digits"),
        pytest.param("-1", "must be in range", id="negative"),
        pytest.param("0:-1", "must be in range", id="negative-group"),
        pytest.param("٣", "unable to find user", id="digits-of-other-scripts-are-no-number"),
    ],
)
def test_user_that_is_not_there_is_refused(user: str, message: str) -> None:
    """Guessing would mean running as someone else, at worst as root (CVE-2026-46680, CVE-2026-30892)."""
    with pytest.raises(InvalidParameter, match=message):
        resolve_user(user, PASSWD, GROUP)


def test_extra_groups_come_by_name_or_number() -> None:
    """`--group-add` adds to whatever the user has, also beside an explicit group."""
    assert resolve_user("www:4", PASSWD, GROUP, ("docker", "12345")).groups == (4, 999, 12345)
    with pytest.raises(InvalidParameter, match="unable to find group nobody"):
        resolve_user("", PASSWD, GROUP, ("nobody",))


def test_image_without_lists_has_root_and_numbers() -> None:
    """An image of one static program has no /etc/passwd, and needs none."""
    assert resolve_user("", b"", b"") == User(uid=0, gid=0, groups=(0,), home="/")
    assert resolve_user("7:8", b"", b"") == User(uid=7, gid=8, groups=(8,), home="/")


def test_list_that_is_too_long_is_refused_not_cut() -> None:
    """Half of a line could be another, valid line with another number (CVE-2026-47262)."""
    with pytest.raises(InvalidParameter, match="10 MiB"):
        resolve_user("root", b"x" * (MAX_DATABASE_BYTES + 1), b"")


@given(uid=st.integers(0, 2**40), gid=st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_number_is_itself_or_refused(uid: int, gid: int) -> None:
    """No arithmetic happens to an id on its way."""
    if max(uid, gid) <= MAX_ID:
        user = resolve_user(f"{uid}:{gid}", b"", b"")
        assert (user.uid, user.gid, user.groups) == (uid, gid, (gid,))
    else:
        with pytest.raises(InvalidParameter):
            resolve_user(f"{uid}:{gid}", b"", b"")


@given(user=st.text(max_size=12), passwd=st.binary(max_size=200), group=st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_list_gives_a_user_or_a_sentence(user: str, passwd: bytes, group: bytes) -> None:
    """The lists come from strangers."""
    try:
        found = resolve_user(user, passwd, group)
    except InvalidParameter:
        return
    assert 0 <= found.uid <= MAX_ID
    assert found.gid in found.groups
