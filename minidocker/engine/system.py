"""`docker version`, `docker info` and `docker system df`: what this server is, on what machine, and how full.

Acting: reads `/proc`, `/etc/os-release` and the sizes of directories. The key names are those of the Docker Engine API
1.50 (`SystemVersion`, `SystemInfo`); a client asks for most of them by name and prints warnings for what it finds false.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker import API_VERSION, MIN_API_VERSION, VERSION
from minidocker.container.logs import format_time
from minidocker.container.record import ContainerRecord, Status
from minidocker.ids import compute_digest
from minidocker.registry.endpoints import RegistryConfig
from minidocker.spec.image import go_architecture
from minidocker.spec.record import Json

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["measure_container", "measure_directory", "system_info", "system_version"]

_CGROUP_FLAGS: Final = {
    "MemoryLimit": "memory", "SwapLimit": "memory", "CpuCfsPeriod": "cpu", "CpuCfsQuota": "cpu", "CPUShares": "cpu",
    "CPUSet": "cpuset", "PidsLimit": "pids",
}  # fmt: skip
"""What `docker info` warns about when it is missing, and the controller that each needs."""
_DEFAULT_REGISTRY: Final = "https://index.docker.io/v1/"


def system_version(engine: Engine) -> dict[str, Json]:
    """Return the body of `GET /version`; components without a program of their own carry our version."""
    names = os.uname()
    arch = go_architecture(names.machine)
    details: dict[str, Json] = {
        "ApiVersion": API_VERSION, "Arch": arch, "BuildTime": "", "Experimental": "false", "GitCommit": "",
        "GoVersion": _python_version(), "KernelVersion": names.release, "MinAPIVersion": MIN_API_VERSION, "Os": "linux",
    }  # fmt: skip
    runtime: dict[str, Json] = {"Name": "minidocker-runtime", "Version": VERSION, "Details": {"GitCommit": ""}}
    return {
        "Platform": {"Name": "minidocker"},
        "Components": [{"Name": "Engine", "Version": VERSION, "Details": details}, runtime],
        "Version": VERSION,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": MIN_API_VERSION,
        "GitCommit": "",
        "GoVersion": _python_version(),
        "Os": "linux",
        "Arch": arch,
        "KernelVersion": names.release,
        "BuildTime": "",
    }


def _python_version() -> str:
    """Return what stands where Docker shows the version of Go: the language and its version."""
    return f"python{platform.python_version()}"


def system_info(engine: Engine) -> dict[str, Json]:
    """Return the body of `GET /info`."""
    names, release = os.uname(), _read_os_release()
    return {
        "ID": _server_id(engine),
        **_count_containers(engine),
        "Images": len(engine.images.all()),
        "Driver": engine.driver,
        "DriverStatus": [["Backing Filesystem", _backing_filesystem(engine.data_root)]],
        "Plugins": {
            "Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": None,
            "Log": ["json-file", "none"],
        },
        **{flag: engine.layout.find(controller) is not None for flag, controller in _CGROUP_FLAGS.items()},
        "IPv4Forwarding": _read_text("/proc/sys/net/ipv4/ip_forward") == "1",
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")),
        "OomKillDisable": engine.layout.version == 1,
        "NGoroutines": len(os.listdir("/proc/self/task")),
        "SystemTime": format_time(time.time_ns()),
        "LoggingDriver": engine.config.defaults.log_driver,
        "CgroupDriver": "cgroupfs" if engine.layout.version else "none",
        "CgroupVersion": str(engine.layout.version or 1),
        "NEventsListener": engine.events.listeners,
        "KernelVersion": names.release,
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": names.machine,
        "IndexServerAddress": _DEFAULT_REGISTRY,
        "RegistryConfig": _registry_config(engine.registries.config),
        "NCPU": engine.host.cpus,
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "GenericResources": None,
        "DockerRootDir": str(engine.data_root),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": names.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": VERSION,
        **_runtime_info(),
        "SecurityOptions": [
            *(["name=seccomp,profile=builtin"] if engine.host.seccomp else []), *(["name=userns"] if engine.config.remaps else []),
            *(["name=rootless"] if engine.config.rootless is not None else []),
        ],
        "CDISpecDirs": [],
        "Warnings": [*engine.networks.warnings, *(engine.config.rootless.notes if engine.config.rootless is not None else ())],
    }


def _runtime_info() -> dict[str, Json]:
    """Return what `docker info` says of the programs below the engine; here there are none."""
    commit: dict[str, Json] = {"ID": "", "Expected": ""}
    return {
        "Runtimes": {"runc": {"path": "minidocker-runtime"}},
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": commit,
        "RuncCommit": commit,
        "InitCommit": commit,
    }  # fmt: skip


def _registry_config(config: RegistryConfig) -> dict[str, Json]:
    """Return what `docker info` shows of mirrors and of who may be spoken to without TLS."""
    official: dict[str, Json] = {"Name": "docker.io", "Mirrors": list(config.mirrors), "Secure": True, "Official": True}
    networks = [entry for entry in config.insecure if "/" in entry]
    hosts: dict[str, Json] = {
        host: {"Name": host, "Mirrors": [], "Secure": False, "Official": False} for host in config.insecure if host not in networks
    }  # fmt: skip
    return {
        "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128", *networks], "IndexConfigs": {"docker.io": official, **hosts},
        "Mirrors": list(config.mirrors),
    }  # fmt: skip


def _server_id(engine: Engine) -> str:
    """Return an id that stays with the data root: 64 digits in the form of a UUID."""
    digits = compute_digest(f"{engine.data_root}@{os.uname().nodename}".encode()).hex
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def _count_containers(engine: Engine) -> dict[str, Json]:
    states = [handle.record.state for handle in engine.containers.all()]
    running = sum(state.status in (Status.RUNNING, Status.RESTARTING) for state in states)
    paused = sum(state.status is Status.PAUSED for state in states)
    return {
        "Containers": len(states), "ContainersRunning": running, "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
    }  # fmt: skip


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # a kernel or a distribution without it
        return ""


def _read_os_release() -> dict[str, str]:
    """Return `/etc/os-release` as names to values; see os-release(5)."""
    lines = (_read_text("/etc/os-release") or _read_text("/usr/lib/os-release")).splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, _, value in pairs}


def _backing_filesystem(directory: Path) -> str:
    """Return the type of the file system that holds *directory*: that of the deepest mount above it."""
    from minidocker.codec.mountinfo import parse_mountinfo

    mounts = parse_mountinfo(_read_text("/proc/self/mountinfo") + "\n")
    path = os.path.realpath(directory)
    above = [m for m in mounts if path == m.mount_point or path.startswith(m.mount_point.rstrip("/") + "/")]
    return max(above, key=lambda m: len(m.mount_point)).fstype if above else "unknown"


def measure_directory(directory: Path) -> int:
    """Return the bytes of all files below *directory*, a hard-linked one once; what vanishes meanwhile counts nothing."""
    total, seen, pending = 0, set[tuple[int, int]](), [str(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink == 1 or (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        total += status.st_size
        except FileNotFoundError:
            continue
    return total


def measure_container(engine: Engine, record: ContainerRecord) -> tuple[int, int]:
    """Return the bytes of a container's own layer, and those together with its image's layers."""
    own = measure_directory(engine.containers.directory / record.id / ("upper" if record.driver == "overlay2" else "rootfs"))
    return own, own + sum(measure_directory(engine.data_root / "layers" / name) for name in record.layers)
