"""What the first process of a machine is told: which control groups, what to run, where results go.

Pure. It is a small JSON file in the last archive of the initramfs; the large archives before it are the same for every machine.
Chapter 20.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from minidocker.spec.record import read_record, render_record

__all__ = ["MODULE_DIRECTORY", "SETTINGS_PATH", "Settings", "parse_settings", "render_settings"]

SETTINGS_PATH: Final = "etc/machine.json"
MODULE_DIRECTORY: Final = "lib/modules"
"""Modules lie here as `NN-name.ko`: their order is the order of loading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one start."""

    command: tuple[str, ...]
    """What the machine is for; when it ends, so does the machine."""
    environment: dict[str, str]
    directory: str = "/"
    """Where the command runs."""
    hostname: str = "machine"
    cgroup_version: int = 2
    address: str = ""
    """Of the first network card, with its prefix length; empty for a machine without one."""
    gateway: str = ""
    name_server: str = ""
    data_disk: bool = False
    """Whether the first disk keeps `/var/lib/minidocker`."""
    shares: tuple[str, ...] = ()
    """Folders of the host, mounted at the same paths; the number of each is its name on the wire."""
    console_shell: bool = False
    """Whether the console has a shell for as long as the command runs."""
    result: str = ""
    """A file that is sent to the host when the command has ended."""
    shell_on_failure: bool = False
    """Whether a command that fails leaves a shell on the console instead of a machine that is off."""


def parse_settings(content: bytes) -> Settings:
    """Return the settings in *content*."""
    return read_record(Settings, json.loads(content))


def render_settings(settings: Settings) -> bytes:
    """Return *settings* as they are put into the machine."""
    return json.dumps(render_record(settings), indent=1, sort_keys=True).encode() + b"\n"
