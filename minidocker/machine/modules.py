"""The modules of a kernel: what each needs, and in which order they are loaded.

A distribution builds most of the kernel as modules, files that are loaded while it runs; depmod(8) computes what needs what when
they are installed. Nothing is installed here, so we read it where depmod does: the `.modinfo` section of each module holds
`name=` and `depends=`. Pure. See modprobe(8), modules.dep(5). Chapter 20.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from minidocker.codec.elf import find_section

__all__ = ["MACHINE_MODULES", "SHARING_MODULES", "Module", "module_name", "parse_module", "plan_loading"]

MACHINE_MODULES: Final = tuple(
    """
    crc32c_generic ext4 virtio_pci virtio_mmio virtio_blk virtio_net virtio_console overlay veth bridge dummy tun
    nf_tables nf_conntrack nf_nat nft_chain_nat nft_nat nft_masq nft_ct nft_redir nft_reject_inet nft_fib_inet nft_compat
    """.split()  # noqa: SIM905 - a text reads better than quotes
)
"""What containers and the machine's own devices need, where the kernel does not have it inside."""

SHARING_MODULES: Final = ("9pnet_virtio", "9p")
"""What sharing a folder of the host takes; kernels made for clouds have been built without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module."""

    name: str
    """With underscores, as the kernel writes it."""
    depends: tuple[str, ...] = ()
    """Modules that have to be there first."""


def module_name(path: str) -> str:
    """Return the name of the module in the file *path*: `kernel/net/8021q/8021q.ko.xz` → `8021q`."""
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def parse_module(content: bytes, *, path: str) -> Module:
    """Return what the module file *path* with this (unpacked) *content* says it needs.

    Raises:
        InvalidElf: it is damaged, or no module.
    """
    pairs = [pair.partition(b"=") for pair in find_section(content, ".modinfo").split(b"\0")]
    depends = next((value for key, _, value in pairs if key == b"depends"), b"").decode(errors="replace")
    return Module(name=module_name(path), depends=tuple(name.replace("-", "_") for name in depends.split(",") if name))


def plan_loading(wanted: Iterable[str], modules: Mapping[str, Module]) -> tuple[str, ...]:
    """Return the names of *wanted* and of all that they need, each after what it needs itself.

    A name that is not among *modules* is taken to be inside the kernel: what is not there at all shows when it is used.
    """
    order: dict[str, None] = {}
    entered: set[str] = set()

    def visit(name: str) -> None:
        module = modules.get(name.replace("-", "_"))
        if module is None or module.name in entered:
            return
        entered.add(module.name)
        for needed in module.depends:
            visit(needed)
        order[module.name] = None

    for name in wanted:
        visit(name)
    return tuple(order)
