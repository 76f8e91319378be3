"""From a kernel package, or a file, to what a machine boots."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidocker.codec.tar import InvalidArchive
from minidocker.errors import NotFound
from minidocker.machine.kernel_image import InvalidKernel
from minidocker.machine.kernels import open_kernel
from tests.unit.machine.packages_for_tests import make_module, make_package
from tests.unit.machine.test_kernel_image import make_bzimage

MODULES = "lib/modules/6.1/kernel/"
PACKAGE = {
    "boot/vmlinuz-6.1": make_bzimage(), MODULES + "fs/overlay.ko": make_module(), MODULES + "net/bridge.ko": make_module(depends="stp,llc"),
    MODULES + "net/llc.ko": make_module(), MODULES + "net/stp.ko": make_module(depends="llc"), MODULES + "sound/snd.ko": make_module(),
}  # fmt: skip


def write(path: Path, content: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(content)
    return path


def test_package_gives_the_kernel_and_its_modules_in_order(tmp_path: Path) -> None:
    """Only what is wanted is unpacked, with all that it needs; once, because it takes seconds."""
    package = write(tmp_path / "k.deb", make_package(PACKAGE))
    kernel = open_kernel(package, cache=tmp_path / "cache", wanted=("bridge", "overlay", "inside_the_kernel"))
    assert [path.name for path in kernel.modules] == ["llc.ko", "stp.ko", "bridge.ko", "overlay.ko"]
    assert kernel.modules[0].read_bytes() == PACKAGE[MODULES + "net/llc.ko"]
    assert kernel.path.read_bytes() == PACKAGE["boot/vmlinuz-6.1"]
    assert open_kernel(package, cache=tmp_path / "cache", wanted=("bridge", "overlay", "inside_the_kernel")) == kernel
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_kernel_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """Somebody's own kernel has inside what it needs."""
    path = write(tmp_path / "bzImage", make_bzimage())
    kernel = open_kernel(path, cache=tmp_path, wanted=("overlay",))
    assert (kernel.path, kernel.modules) == (path, ())


BAD = {
    "missing": (None, NotFound, "there is no such file"),
    "empty": (b"", InvalidKernel, "the file is empty"),
    "text": (b"#!/bin/sh\n", InvalidKernel, "this is no Linux kernel"),
    "package-without-kernel": (make_package({"usr/share/doc/x": b""}), InvalidKernel, "there is no kernel in this package"),
    "package-cut-off": (make_package(PACKAGE)[:-200], InvalidArchive, "cut off"),
}


@pytest.mark.parametrize(("content", "error", "text"), BAD.values(), ids=BAD)
def test_what_is_no_kernel_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes | None, error: type[Exception], text: str) -> None:
    """One sentence with the file's name, and no half-unpacked kernel that the next call would take for whole."""
    path, cache = tmp_path / "k", tmp_path / "cache"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=text):
        open_kernel(path, cache=cache, wanted=("overlay",))
    assert not cache.exists() or not list(cache.iterdir())
