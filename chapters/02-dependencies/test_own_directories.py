"""Where a program wants its libraries looked for first: `DT_RUNPATH`, `DT_RPATH` and `$ORIGIN` of ld.so(8)."""

from __future__ import annotations

from collections.abc import Callable

from minidocker.codec.elf import Elf

Compute = Callable[[Elf, str], tuple[str, ...]]


def elf(*, rpath: tuple[str, ...] = (), runpath: tuple[str, ...] = ()) -> Elf:
    """Return what a program with these lists says about itself."""
    return Elf(bits=64, machine=62, rpath=rpath, runpath=runpath)


def test_program_without_a_wish_has_no_directories(compute_own_directories: Compute) -> None:
    """Most programs: they take what the system has, whichever version that is."""
    assert compute_own_directories(elf(), "usr/bin/curl") == ()


def test_directories_are_named_in_their_order(compute_own_directories: Compute) -> None:
    """The first in which the name is found decides the version. The root is that of an image, so no `/` comes before the name."""
    assert compute_own_directories(elf(runpath=("/opt/shop/lib", "/opt/lib")), "opt/shop/bin/shop") == ("opt/shop/lib", "opt/lib")


def test_old_list_counts_where_there_is_no_new_one(compute_own_directories: Compute) -> None:
    """Programs that were linked long ago still run."""
    assert compute_own_directories(elf(rpath=("/opt/old",)), "usr/bin/shop") == ("opt/old",)


def test_new_list_replaces_the_old_one(compute_own_directories: Compute) -> None:
    """They are not two lists one after the other: ld.so ignores DT_RPATH where DT_RUNPATH is."""
    assert compute_own_directories(elf(rpath=("/opt/old",), runpath=("/opt/new",)), "usr/bin/shop") == ("opt/new",)


def test_origin_is_the_directory_of_the_file(compute_own_directories: Compute) -> None:
    """So a program can be moved together with its libraries, and two versions stand side by side."""
    for path in ("opt/shop-1/bin/shop", "/opt/shop-1/bin/shop"):
        assert compute_own_directories(elf(runpath=("$ORIGIN",)), path) == ("opt/shop-1/bin",)


def test_origin_may_have_braces(compute_own_directories: Compute) -> None:
    """As in a shell; both are in use."""
    assert compute_own_directories(elf(runpath=("${ORIGIN}/private",)), "opt/bin/shop") == ("opt/bin/private",)


def test_way_up_is_followed(compute_own_directories: Compute) -> None:
    """`$ORIGIN/../lib` is what build tools write; nothing is above the root."""
    assert compute_own_directories(elf(runpath=("/opt/shop/bin/../lib", "/../lib")), "opt/shop/bin/shop") == ("opt/shop/lib", "lib")
