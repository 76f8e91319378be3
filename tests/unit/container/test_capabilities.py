"""Capabilities: which pieces of root's power a container gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidocker.container.capabilities import CAPABILITIES, DEFAULT_CAPABILITIES, compute_capabilities
from minidocker.errors import InvalidParameter

HEADER = Path("/usr/include/linux/capability.h")
LAST = len(CAPABILITIES) - 1
NAMES = st.sampled_from(CAPABILITIES)


def test_numbers_are_those_of_the_installed_header() -> None:
    """The place in the tuple is the bit in the kernel's sets."""
    if not HEADER.exists():
        pytest.skip("no kernel headers (Debian: linux-libc-dev)")
    defines = re.findall(r"^#define (CAP_[A-Z_]+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)
    assert {name: int(number) for name, number in defines} == {name: n for n, name in enumerate(CAPABILITIES)}


def test_default_set_is_dockers_fourteen() -> None:
    """Enough for package managers and for becoming another user; no mount, no modules, no network configuration."""
    assert len(DEFAULT_CAPABILITIES) == 14
    assert set(compute_capabilities(last_cap=LAST)) == DEFAULT_CAPABILITIES
    assert not DEFAULT_CAPABILITIES & {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE"}


@pytest.mark.parametrize(
    ("add", "drop", "has", "lacks"),
    [
        pytest.param(["NET_ADMIN"], [], {"CAP_NET_ADMIN", "CAP_CHOWN"}, {"CAP_SYS_ADMIN"}, id="add"),
        pytest.param(
            ["cap_net_admin"], ["Chown"], {"CAP_NET_ADMIN"}, {"CAP_CHOWN"}, id="any-case-with-or-without-prefix"
        ),
        pytest.param([], ["ALL"], set(), set(CAPABILITIES), id="drop-all"),
        pytest.param(["KILL"], ["all"], {"CAP_KILL"}, {"CAP_CHOWN"}, id="drop-all-add-one"),
        pytest.param(["ALL"], ["SYS_MODULE"], {"CAP_SYS_ADMIN"}, {"CAP_SYS_MODULE"}, id="add-all-drop-one"),
        pytest.param(["ALL"], ["ALL"], set(CAPABILITIES), set(), id="add-all-beats-drop-all"),
        pytest.param(["CHOWN"], ["CHOWN"], {"CAP_CHOWN"}, set(), id="named-twice-stays"),
    ],
)
def test_lists_change_the_default_set_as_in_docker(
    add: list[str], drop: list[str], has: set[str], lacks: set[str]
) -> None:
    """First the dropped ones go, then the added ones come; ALL on either side changes where one starts from."""
    result = set(compute_capabilities(cap_add=add, cap_drop=drop, last_cap=LAST))
    assert has <= result
    assert not lacks & result


@given(add=st.lists(NAMES), drop=st.lists(NAMES), last=st.integers(0, LAST))
@settings(max_examples=60, deadline=None)
def test_result_is_ordered_and_known_to_the_kernel(add: list[str], drop: list[str], last: int) -> None:
    """A number that the kernel does not know would fail in prctl(2) after the container was half built."""
    known = CAPABILITIES[: last + 1]
    if all(name in known for name in (*add, *drop)):
        result = compute_capabilities(cap_add=add, cap_drop=drop, last_cap=last)
        assert list(result) == [name for name in known if name in result]
        assert set(result) == (DEFAULT_CAPABILITIES & set(known) - set(drop)) | set(add)
    else:
        with pytest.raises(InvalidParameter, match="not known to this kernel"):
            compute_capabilities(cap_add=add, cap_drop=drop, last_cap=last)


def test_privileged_has_all_that_the_kernel_has() -> None:
    """`--privileged` does not look at the lists, nor complains about them."""
    assert compute_capabilities(cap_drop=["ALL"], privileged=True, last_cap=37) == CAPABILITIES[:38]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        pytest.param("NET_ADMN", "NET_ADMIN?", id="typo"),
        pytest.param("CAP_ALL", "ALL?", id="all-has-no-prefix"),
        pytest.param("🐳" * 100, "capabilities", id="nothing-near"),
        pytest.param("", "capabilities", id="empty"),
    ],
)
def test_unknown_name_is_refused_with_a_suggestion(name: str, suggestion: str) -> None:
    """A misspelt `--cap-drop` that were passed over would leave a power that its author believes gone."""
    with pytest.raises(InvalidParameter, match="unknown capability") as caught:
        compute_capabilities(cap_drop=[name], last_cap=LAST)
    assert suggestion in caught.value.hint
