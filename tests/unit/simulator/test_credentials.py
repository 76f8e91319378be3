"""Privileges: the formulas of capabilities(7)."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.kernel.flags import CAPABILITIES
from minidocker.simulator.credentials import (
    compute_exec, drop_bounding_set, install_filter, set_capabilities, set_groups, set_keep_capabilities, set_no_new_privileges, set_user,
)  # fmt: skip
from minidocker.simulator.linux import Credentials
from tests.unit.simulator.small import start

SETS = st.frozensets(st.sampled_from(CAPABILITIES[:6]))
CREDENTIALS = st.builds(
    lambda uid, inheritable, permitted, bounding, ambient: Credentials(
        uids=(uid,) * 4, inheritable=inheritable, permitted=permitted, effective=permitted, bounding=bounding,
        ambient=ambient & permitted & inheritable,
    ),
    st.sampled_from([0, 1000]), SETS, SETS, SETS, SETS,
)  # fmt: skip


@given(CREDENTIALS, SETS, SETS)
def test_exec_never_gives_more_than_the_bounding_set_allows(who: Credentials, file_permitted: frozenset[str], file_inheritable: frozenset[str]) -> None:
    """What is new after execve came through the bounding set; the effective set is part of the permitted one."""
    after = compute_exec(who, file_permitted=file_permitted, file_inheritable=file_inheritable)
    assert after.effective <= after.permitted <= who.bounding | who.inheritable | who.ambient
    assert after.bounding == who.bounding


@given(CREDENTIALS)
def test_exec_by_another_user_than_root_keeps_only_ambient_capabilities(who: Credentials) -> None:
    """An ordinary file gives nothing: `--user nobody` ends without privileges, whatever was permitted before."""
    after = compute_exec(replace(who, uids=(1000,) * 4))
    assert after.permitted == after.effective == who.ambient


@given(CREDENTIALS)
def test_root_gets_the_bounding_set_from_every_file(who: Credentials) -> None:
    """Why the bounding set is what counts for a container's root: execve fills the permitted set up from it."""
    root = replace(who, uids=(0,) * 4, inheritable=frozenset(), ambient=frozenset())
    assert compute_exec(root).effective == who.bounding


def test_leaving_root_drops_the_effective_set() -> None:
    """With SECBIT_KEEP_CAPS the permitted set stays, and capset can raise the effective one again."""
    linux, pid = start()
    plain = set_user(linux, pid, uid=1000, gid=1000).processes[pid].credentials
    assert (plain.permitted, plain.effective) == (frozenset(), frozenset())
    linux = set_user(set_keep_capabilities(linux, pid, True), pid, uid=1000, gid=1000)
    kept = linux.processes[pid].credentials
    assert (bool(kept.permitted), kept.effective) == (True, frozenset())
    assert set_capabilities(linux, pid, ["CAP_CHOWN"]).processes[pid].credentials.effective == {"CAP_CHOWN"}


def test_order_of_set_user_has_reasons() -> None:
    """User first, and the groups cannot be set any more: a famous mistake."""
    linux, pid = start()
    linux = set_user(linux, pid, uid=1000, gid=1000)
    with pytest.raises(PermissionError):
        set_groups(linux, pid, [5])
    with pytest.raises(PermissionError):
        set_user(linux, pid, uid=0, gid=0)


def test_what_is_dropped_is_gone() -> None:
    """The bounding set only shrinks, the permitted one too; dropping needs CAP_SETPCAP."""
    linux, pid = start()
    linux = set_capabilities(drop_bounding_set(linux, pid, ["CAP_CHOWN"]), pid, ["CAP_CHOWN"])
    with pytest.raises(PermissionError):
        set_capabilities(linux, pid, ["CAP_CHOWN", "CAP_KILL"])
    with pytest.raises(PermissionError):
        drop_bounding_set(linux, pid, [])


def test_filter_takes_a_privilege_or_a_promise() -> None:
    """seccomp(2): EACCES, because a filter could make a set-user-ID program believe that setuid worked."""
    linux, pid = start()
    poor = set_capabilities(linux, pid, [])
    with pytest.raises(PermissionError) as caught:
        install_filter(poor, pid, b"\0" * 8)
    assert caught.value.errno == errno.EACCES
    linux = install_filter(set_no_new_privileges(poor, pid), pid, b"\0" * 8)
    assert linux.processes[pid].filters == 1
    with pytest.raises(OSError, match="4096"):
        install_filter(linux, pid, b"")


def test_ambient_capability_survives_the_exec_of_an_ordinary_file() -> None:
    """It must be permitted and inheritable; this is how a user other than root is given one privilege."""
    linux, pid = start()
    linux = set_capabilities(linux, pid, ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"], ambient=["CAP_NET_BIND_SERVICE"])
    who = replace(linux.processes[pid].credentials, uids=(1000,) * 4)
    assert compute_exec(who).effective == {"CAP_NET_BIND_SERVICE"}
    with pytest.raises(PermissionError):
        set_capabilities(linux, pid, [], ambient=["CAP_CHOWN"])
