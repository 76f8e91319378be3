"""The command line of QEMU, and whether this host has one that works.

Pure, but for `find_qemu` and `choose_accelerator`, which look. Everything goes over virtio, the devices that a kernel for virtual
machines has; the console is a serial line, so that what the kernel says is text. See qemu(1). Chapter 20.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minidocker.errors import HostError

__all__ = ["Hardware", "choose_accelerator", "find_qemu", "render_command"]

_CONSOLES: Final = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}
_BOARDS: Final = {"x86_64": "pc", "aarch64": "virt"}
_PACKAGES: Final = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}

_KERNEL_WORDS: Final = "panic=-1 quiet random.trust_cpu=on no_timer_check"
"""For the kernel: end the machine on a panic; say only what is wrong; take the processor's random numbers; and do not test whether the
timer ticks in time, because on a busy host an emulated one may not, and then the kernel waits for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A machine, as QEMU is told to make it."""

    machine: str
    """As uname(2) names it."""
    kernel: Path
    initramfs: Path
    accelerator: str = "tcg"
    memory_mib: int = 1024
    processors: int = 1
    disks: tuple[Path, ...] = ()
    result: Path | None = None
    """Where what comes over the channel `result` is kept."""
    control: Path | None = None
    """Unix socket of the channel `control`."""
    console: str = "stdio"
    """QEMU's word for where the serial line goes."""
    forwards: tuple[tuple[int, int], ...] = ()
    """(port of the host, port of the machine)."""
    network: bool = False
    monitor: Path | None = None
    """Unix socket on which QEMU itself takes orders."""
    shares: tuple[Path, ...] = ()
    """Folders of the host that the machine may mount."""
    more: tuple[str, ...] = ()
    """Further arguments, as they are."""


def render_command(program: str, hardware: Hardware) -> list[str]:
    """Return the command that starts *hardware*."""
    machine = hardware.machine
    command = [
        program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", _BOARDS[machine], "-accel", hardware.accelerator, "-cpu", "max" if hardware.accelerator == "tcg" else "host",
        "-smp", str(hardware.processors), "-m", str(hardware.memory_mib),
        "-kernel", str(hardware.kernel), "-initrd", str(hardware.initramfs),
        "-append", f"console={_CONSOLES[machine]} {_KERNEL_WORDS}",
        "-serial", hardware.console, "-device", "virtio-serial",
    ]  # fmt: skip
    if hardware.result is not None:
        command += _render_port("result", f"file,path={_escape(hardware.result)}")
    if hardware.control is not None:
        command += _render_port("control", f"socket,path={_escape(hardware.control)},server=on,wait=off")
    for disk in hardware.disks:
        command += ["-drive", f"file={_escape(disk)},format=raw,if=virtio,cache=writeback,discard=unmap"]
    if hardware.network:
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{outer}-:{inner}" for outer, inner in hardware.forwards)
        command += ["-netdev", f"user,id=net{forwards}", "-device", "virtio-net,netdev=net,romfile="]
    if hardware.monitor is not None:
        command += ["-chardev", f"socket,id=monitor,path={_escape(hardware.monitor)},server=on,wait=off", "-mon", "chardev=monitor,mode=readline"]
    for number, share in enumerate(hardware.shares):
        command += ["-virtfs", f"local,path={_escape(share)},mount_tag=share{number},security_model=none,multidevs=remap"]
    return [*command, *hardware.more]


def _render_port(name: str, backend: str) -> list[str]:
    kind, _, rest = backend.partition(",")
    return ["-chardev", f"{kind},id={name},{rest}", "-device", f"virtserialport,chardev={name},name={name}"]


def _escape(path: Path) -> str:
    """In QEMU's lists of options a comma is written twice."""
    return str(path).replace(",", ",,")


def find_qemu(machine: str, *, search_path: str | None = None) -> str:
    """Return where QEMU for *machine* is.

    Raises:
        HostError: it is not installed; says how to install it on this system.
    """
    name = f"qemu-system-{machine}"
    found = shutil.which(name, path=search_path)
    if found is None:
        raise HostError(f"start machine: there is no `{name}` on this host", hint=_how_to_install(machine, sys.platform))
    return found


def _how_to_install(machine: str, platform: str) -> str:
    if platform == "darwin":
        return "brew install qemu"
    if platform == "win32":
        return "winget install SoftwareFreedomConservancy.QEMU, and put its folder into PATH"
    return f"Debian, Ubuntu: apt-get install {_PACKAGES[machine]}; Fedora: dnf install qemu-kvm; Arch: pacman -S qemu-base; Alpine: apk add qemu-system-{machine}"


def choose_accelerator(machine: str) -> str:
    """Return `kvm` where this host can run *machine* on its own processor, else what emulates it in software: `tcg`.

    That `/dev/kvm` can be opened is not enough: in some clouds it is there and a machine hangs, because the processor that the host
    itself was given cannot virtualise.
    """
    if sys.platform == "darwin":
        return "hvf"
    if sys.platform == "win32":
        return "whpx"
    if os.uname().machine != machine or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    return "kvm" if machine != "x86_64" or _has_virtualisation(Path("/proc/cpuinfo").read_text(encoding="utf-8")) else "tcg"


def _has_virtualisation(cpuinfo: str) -> bool:
    """Whether the flags of an x86 processor name Intel's or AMD's extension."""
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return bool({"vmx", "svm"} & set(flags.split()))
