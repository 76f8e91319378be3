"""What a kernel file says about itself, before anything is started with it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.elf import render_greeting_program
from minidocker.machine.kernel_image import InvalidKernel, KernelImage, parse_kernel, require_machine


def make_bzimage(*, is_64_bit: bool = True, version: bytes = b"6.1.0-1-cloud-amd64 (x) #1 SMP") -> bytes:
    """Return the head of an x86 kernel."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x100)
    head[0x236] = int(is_64_bit)
    head[0x300 : 0x300 + len(version)] = version
    return bytes(head)


ARM_IMAGE = bytes(56) + b"ARM\x64" + bytes(100)

KERNELS = {
    "x86-64": (make_bzimage(), KernelImage(machine="x86_64", version="6.1.0-1-cloud-amd64 (x) #1 SMP")),
    "x86-32": (make_bzimage(is_64_bit=False, version=b"6.1"), KernelImage(machine="i386", version="6.1")),
    "arm-64": (ARM_IMAGE, KernelImage(machine="aarch64")),
    "elf": (render_greeting_program(b"", machine="aarch64"), KernelImage(machine="aarch64")),
}


@pytest.mark.parametrize(("head", "expected"), KERNELS.values(), ids=KERNELS)
def test_kernel_names_its_machine(head: bytes, expected: KernelImage) -> None:
    """Each architecture has its own form; all say what they are in the first bytes."""
    assert parse_kernel(head, path="vmlinuz") == expected


@given(st.binary(max_size=2000))
def test_garbage_raises_only_a_sentence(content: bytes) -> None:
    """Whatever the file is, the answer is a record or one sentence that names it."""
    try:
        sentence = parse_kernel(content, path="some/file").machine
    except InvalidKernel as error:
        sentence = error.message
    assert "`some/file`" in sentence or sentence in ("x86_64", "i386", "aarch64") or sentence.startswith("ELF machine")


def test_kernel_for_another_machine_names_both() -> None:
    """QEMU would start it, and nothing would ever appear on the console."""
    with pytest.raises(InvalidKernel, match=r"is for aarch64, .* for x86_64"):
        require_machine(parse_kernel(ARM_IMAGE, path="Image"), "x86_64", path="Image")
