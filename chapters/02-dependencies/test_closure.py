"""What a program needs besides itself, all of it: the closure of `DT_NEEDED`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Compute = Callable[[Sequence[str], Mapping[str, Sequence[str]]], tuple[str, ...]]

NEEDS = {"curl": ("libcurl", "libz", "libc"), "libcurl": ("libssl", "libz", "libc"), "libssl": ("libcrypto", "libc"), "libz": ("libc",)}


def test_what_needs_nothing_is_enough(compute_closure: Compute) -> None:
    """A static program: the reason why some images hold one file. And who asks for nothing needs nothing."""
    assert compute_closure(["hello"], {"hello": ()}) == ("hello",)
    assert compute_closure([], {"hello": ()}) == ()


def test_what_needs_need_is_needed(compute_closure: Compute) -> None:
    """`curl` never says `libcrypto`, and does not start without it."""
    assert set(compute_closure(["curl"], NEEDS)) == {"curl", "libcurl", "libz", "libc", "libssl", "libcrypto"}


def test_each_name_is_there_once(compute_closure: Compute) -> None:
    """Four ask for `libc`. One file is in the image, and one in the process."""
    assert sorted(compute_closure(["a", "a"], {"a": ("b", "c", "b"), "b": ("d",), "c": ("d",)})) == ["a", "b", "c", "d"]


def test_circle_comes_to_its_end(compute_closure: Compute) -> None:
    """The loader and the C library need each other, and both are found."""
    assert compute_closure(["libc"], {"libc": ("loader",), "loader": ("libc",)}) == ("libc", "loader")
    assert compute_closure(["self"], {"self": ("self",)}) == ("self",)


def test_what_is_not_found_is_needed_all_the_same(compute_closure: Compute) -> None:
    """Whoever leaves it out has an image that is complete until somebody starts it."""
    assert compute_closure(["app"], {"app": ("liblost",)}) == ("app", "liblost")


def test_order_is_that_of_first_mention(compute_closure: Compute) -> None:
    """Level by level, as ld.so(8) loads; if two libraries define one symbol, the one that comes first wins."""
    needs = {"app": ("left", "right"), "left": ("below",), "below": ("deep",), "right": ("deep",)}
    assert compute_closure(["app"], needs) == ("app", "left", "right", "below", "deep")
    assert compute_closure(["one", "two"], {"one": ("three",), "two": ("four",)}) == ("one", "two", "three", "four")
