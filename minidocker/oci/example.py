"""A bundle to begin with, and what this run time says of itself. Pure.

`EXAMPLE_SPEC` is the container that Docker would make, in the words of the OCI runtime specification; runc runs it unchanged. The
features are taken from the tables that the plan is made with, so that they cannot promise more.
"""

from __future__ import annotations

from typing import Final

from minidocker.codec.syscalls import AUDIT_ARCH
from minidocker.container.capabilities import DEFAULT_CAPABILITIES
from minidocker.container.plan import DEFAULT_PATH, MASKED_PATHS, READONLY_PATHS
from minidocker.container.seccomp_profile import Action, Comparison
from minidocker.kernel.flags import CAPABILITIES
from minidocker.oci.bundle import OCI_VERSION
from minidocker.oci.plan import MOUNT_OPTIONS, NAMESPACES
from minidocker.spec.record import Json

__all__ = ["EXAMPLE_SPEC", "adapt_example", "render_features"]

_CAPABILITIES: Final[list[Json]] = [name for name in CAPABILITIES if name in DEFAULT_CAPABILITIES]


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Json]:
    return {"destination": destination, "type": kind, "source": source, "options": [*options]}


EXAMPLE_SPEC: Final[dict[str, Json]] = {
    "ociVersion": OCI_VERSION,
    "process": {
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": [f"PATH={DEFAULT_PATH}", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {"bounding": _CAPABILITIES, "effective": _CAPABILITIES, "permitted": _CAPABILITIES},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "minidocker",
    "mounts": [
        _mount("/proc", "proc", "proc"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": [*MASKED_PATHS],
        "readonlyPaths": [*READONLY_PATHS],
    },
}
"""What `oci spec` writes."""


def adapt_example(*, version: int) -> dict[str, Json]:
    """Return the example for a machine: with control groups of version 1 callers expect to see the host's names, as under runc."""
    if version != 1:
        return EXAMPLE_SPEC
    linux = EXAMPLE_SPEC["linux"]
    assert isinstance(linux, dict)
    assert isinstance(linux["namespaces"], list)
    return {**EXAMPLE_SPEC, "linux": {**linux, "namespaces": [n for n in linux["namespaces"] if n != {"type": "cgroup"}]}}


def render_features() -> dict[str, Json]:
    """Return the document of `features`; see "Features structure" of the specification."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": [*sorted(MOUNT_OPTIONS)],
        "linux": {
            "namespaces": [*sorted(NAMESPACES)],
            "capabilities": [*CAPABILITIES],
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": False},
            "seccomp": {
                "enabled": True,
                "actions": [*sorted(action.value for action in Action)],
                "operators": [*sorted(operator.value for operator in Comparison)],
                "archs": [*sorted(f"SCMP_ARCH_{machine.upper()}" for machine in AUDIT_ARCH)],
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
        },
    }
