"""Debian packages and modules, made by hand."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile


def make_module(*, depends: str = "") -> bytes:
    """Return an ELF file with nothing but a `.modinfo` section."""
    info, names = f"license=GPL\0depends={depends}\0".encode(), b"\0.modinfo\0.shstrtab\0"
    sections = (b"", info, names)
    starts = [64, 64, 64 + len(info)]
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64 + len(info) + len(names), 0, 64, 0, 0, 64, 3, 2)
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, start, len(content), 0, 0, 1, 0)
        for name, start, content in zip((0, 1, 10), starts, sections, strict=True)
    )
    return header + info + names + table


def make_package(files: dict[str, bytes]) -> bytes:
    """Return a Debian package with *files*."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo("./" + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(data.getvalue())}
    return b"!<arch>\n" + b"".join(
        f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
        for name, content in members.items()
    )
