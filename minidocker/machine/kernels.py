"""Kernels as a machine needs them: the kernel file, and its modules in the order in which they are loaded.

A kernel comes as a Debian package (everything is picked out of it and kept in the cache), as a bare kernel file with everything
inside, or as a directory that an earlier call made. Acting. Chapter 20.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minidocker.codec.tar import ByteSource, InvalidArchive
from minidocker.errors import HostError, NotFound
from minidocker.machine.deb import AR_MAGIC, read_all, read_files
from minidocker.machine.kernel_image import HEAD_BYTES, InvalidKernel, KernelImage, parse_kernel
from minidocker.machine.modules import Module, module_name, parse_module, plan_loading

__all__ = ["Kernel", "open_kernel"]

_ORDER_FILE: Final = "modules.order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel, ready to be booted."""

    path: Path
    """The kernel file."""
    image: KernelImage
    modules: tuple[Path, ...] = ()
    """Unpacked module files in loading order."""


def open_kernel(path: Path, *, cache: Path, wanted: tuple[str, ...]) -> Kernel:
    """Return the kernel at *path* (a package or a kernel file) with the modules *wanted*; what a package holds is unpacked once.

    Raises:
        NotFound: there is nothing.
        InvalidKernel: it is no kernel.
        InvalidArchive: a package that is damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise NotFound(f"open kernel `{path}`: there is no such file", hint="name a kernel file (vmlinuz) or a kernel package (.deb)") from error
    except OSError as error:
        raise HostError(f"open kernel `{path}`: {error.strerror}") from error
    if not head.startswith(AR_MAGIC):
        return Kernel(path=path, image=parse_kernel(head, path=str(path)))
    return _read_unpacked(_ensure_unpacked(path, cache, wanted))


def _ensure_unpacked(package: Path, cache: Path, wanted: tuple[str, ...]) -> Path:
    """Return the directory with what we need of *package*; it appears whole or not at all."""
    status = package.stat()
    key = hashlib.sha256(repr((package.name, status.st_size, status.st_mtime_ns, wanted)).encode()).hexdigest()[:16]
    directory = cache / f"kernel-{key}"
    if directory.exists():
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=cache, prefix="partial-"))
    try:
        _unpack(package, partial, wanted)
        os.rename(partial, directory)
    except FileExistsError:
        pass  # somebody else was faster
    except OSError as error:
        if not directory.exists():
            raise HostError(f"unpack kernel `{package}`: {error.strerror}: `{error.filename}`") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return directory


def _unpack(package: Path, directory: Path, wanted: tuple[str, ...]) -> None:
    """Write the kernel and its modules; two passes, because what is needed is known only when every module has been seen."""
    known: dict[str, Module] = {}
    kernel = None
    for name, content in read_files(package):
        if name.startswith("boot/vmlinu"):
            kernel = directory / "vmlinuz"
            kernel.write_bytes(read_all(content))
        elif ".ko" in name:
            module = parse_module(_decompress(content, name), path=name)
            known[module.name] = module
    if kernel is None:
        raise InvalidKernel(
            f"open kernel `{package}`: there is no kernel in this package", hint="take the package with the version in its name"
        )
    order = plan_loading(wanted, known)
    for name, content in read_files(package):
        if ".ko" in name and module_name(name) in order:
            (directory / f"{module_name(name)}.ko").write_bytes(_decompress(content, name))
    (directory / _ORDER_FILE).write_text("\n".join(order), encoding="ascii")


def _decompress(content: ByteSource, name: str) -> bytes:
    data = read_all(content)
    if not name.endswith(".xz"):
        return data
    try:
        return lzma.decompress(data)
    except lzma.LZMAError as error:
        raise InvalidArchive(f"unpack module `{name}`: {error}") from error


def _read_unpacked(directory: Path) -> Kernel:
    path = directory / "vmlinuz"
    with path.open("rb") as file:
        image = parse_kernel(file.read(HEAD_BYTES), path=str(path))
    return Kernel(path=path, image=image, modules=tuple(_read_order(directory)))


def _read_order(directory: Path) -> Iterator[Path]:
    for name in (directory / _ORDER_FILE).read_text(encoding="ascii").split():
        yield directory / f"{name}.ko"
