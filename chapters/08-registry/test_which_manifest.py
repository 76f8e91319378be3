"""Which manifest of an index is meant: OCI image-spec, "Image Index"."""

from __future__ import annotations

from collections.abc import Callable

from minidocker.spec.image import OCI_MANIFEST, Descriptor, Index, Platform

Choose = Callable[[Index, Platform], Descriptor | None]


def entry(letter: str, architecture: str, variant: str = "", os: str = "linux") -> Descriptor:
    """Return a line of an index."""
    platform = Platform(architecture=architecture, os=os, variant=variant)
    return Descriptor(media_type=OCI_MANIFEST, digest=f"sha256:{letter * 64}", size=1, platform=platform)


INDEX = Index(
    manifests=(
        entry("1", "amd64", os="windows"), entry("2", "arm", "v5"), entry("3", "amd64"), entry("4", "arm", "v7"), entry("5", "arm", "v6"),
        entry("6", "arm64", "v8"),
    )
)  # fmt: skip


def chosen(choose_platform: Choose, architecture: str, variant: str = "", os: str = "linux") -> str:
    """Return the first digit of what is chosen, nothing for nothing."""
    found = choose_platform(INDEX, Platform(architecture=architecture, os=os, variant=variant))
    return found.digest[7] if found else ""


def test_system_and_architecture_both_count(choose_platform: Choose) -> None:
    """The first line for amd64 is one for Windows."""
    assert chosen(choose_platform, "amd64") == "3"
    assert chosen(choose_platform, "amd64", os="windows") == "1"


def test_nothing_fits_and_nothing_is_chosen(choose_platform: Choose) -> None:
    """A program for another processor would end with `exec format error`, long after the pull."""
    assert chosen(choose_platform, "s390x") == ""
    assert chosen(choose_platform, "arm64", os="freebsd") == ""


def test_own_generation_is_taken(choose_platform: Choose) -> None:
    """Wherever it stands in the list."""
    assert chosen(choose_platform, "arm", "v6") == "5"
    assert chosen(choose_platform, "arm", "v7") == "4"


def test_older_generation_runs_too(choose_platform: Choose) -> None:
    """The newest of those that run."""
    assert chosen(choose_platform, "arm", "v8") == "4"


def test_newer_generation_does_not_run(choose_platform: Choose) -> None:
    """It uses instructions that the processor does not know."""
    assert chosen(choose_platform, "arm", "v4") == ""


def test_no_generation_asked_takes_what_there_is(choose_platform: Choose) -> None:
    """`uname -m` says aarch64 and no generation; images for it say v8."""
    assert chosen(choose_platform, "arm64") == "6"
