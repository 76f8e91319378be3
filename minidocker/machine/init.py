"""The first process of a machine: it makes a Linux system out of a bare kernel, runs one command, and switches the machine off.

Acting, and only ever process 1. The order matters: the root first, because pivot_root(2) cannot leave the kernel's own first root
file system (containers could not start), then what programs expect to be mounted, then modules, then devices that need them.
What happens is said on the console; the host keeps its last lines for the case that something fails. See init(1), bootup(7). Chapter 20.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from minidocker.errors import HostError
from minidocker.kernel.flags import Ms
from minidocker.kernel.mount import mount, umount2
from minidocker.kernel.netlink import add_address, add_route, open_route_socket, set_link_up, set_loopback_up
from minidocker.kernel.system import load_module, power_off
from minidocker.machine.settings import MODULE_DIRECTORY, SETTINGS_PATH, Settings, parse_settings

__all__ = ["main"]

CONTROLLERS: Final = ("cpuset", "cpu,cpuacct", "blkio", "memory", "devices", "freezer", "net_cls,net_prio", "pids")
"""The trees of control groups version 1, as distributions used to mount them."""
DATA_DISK: Final = "/dev/vda"
DATA_DIRECTORY: Final = "/var/lib/minidocker"
DISK_HEAD_BYTES: Final = 1 << 20
"""Every file system, partition table and encryption writes something here."""
PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
SHELL_POLL_S: Final = 1.0
END_GRACE_S: Final = 0.5
STOP_LIMIT_S: Final = 20.0
"""How long the command may take to end when the host wants the machine off."""


def main() -> NoReturn:
    """Run the machine from its first instruction to its last."""
    status = 1
    settings = None
    try:
        _replace_root()
        _mount_system()
        settings = parse_settings(Path("/", SETTINGS_PATH).read_bytes())
        _prepare(settings)
        status = _run_command(settings)
    except HostError as error:
        _say(str(error))
    except BaseException:  # noqa: BLE001 - whatever it is, the machine must say it and go off
        traceback.print_exc()
    if status and settings is not None and settings.shell_on_failure:
        _say(f"the command ended with status {status}; this is a shell in the machine, `exit` ends it")
        _run_shell()
    _say(f"the command ended with status {status}, the machine goes off")
    _end_everybody()
    power_off()
    raise SystemExit(status)


def _say(text: str) -> None:
    print(f"machine: {text}", flush=True)


def _replace_root() -> None:
    """Put a mount of the root over the root.

    The kernel's first root has no parent in the mount tree, and pivot_root(2) refuses to replace such a one. A second mount of the same
    tmpfs, moved on top of the first, has a parent. Nothing is copied.
    """
    os.makedirs("/run/root", exist_ok=True)
    mount("/", "/run/root", flags=Ms.BIND)
    os.chdir("/run/root")
    mount(".", "/", flags=Ms.MOVE)
    os.chroot(".")
    os.chdir("/")


def _mount_system() -> None:
    """Mount what every program expects."""
    quiet = Ms.NOSUID | Ms.NODEV | Ms.NOEXEC
    mount("proc", "/proc", fstype="proc", flags=quiet)
    mount("sysfs", "/sys", fstype="sysfs", flags=quiet)
    mount("devtmpfs", "/dev", fstype="devtmpfs", flags=Ms.NOSUID)
    for place, kind, flags, data in (
        ("/dev/pts", "devpts", Ms.NOSUID | Ms.NOEXEC, "gid=5,mode=620,ptmxmode=666"), ("/dev/shm", "tmpfs", Ms.NOSUID | Ms.NODEV, "mode=1777"),
        ("/run", "tmpfs", Ms.NOSUID | Ms.NODEV, "mode=755"), ("/tmp", "tmpfs", Ms.NOSUID | Ms.NODEV, "mode=1777"),
    ):  # fmt: skip
        os.makedirs(place, exist_ok=True)
        mount(kind, place, fstype=kind, flags=flags, data=data)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        with suppress(FileExistsError):
            os.symlink(target, f"/dev/{name}")


def _prepare(settings: Settings) -> None:
    socket.sethostname(settings.hostname)
    for module in sorted(Path("/", MODULE_DIRECTORY).glob("*.ko")):
        try:
            load_module(str(module))
        except OSError as error:
            _say(f"load module `{module.stem}`: {error.strerror}")  # what needs it will say so, too
    _mount_control_groups(settings.cgroup_version)
    if settings.data_disk:
        mount_data_disk(DATA_DISK)
    for number, path in enumerate(settings.shares):
        os.makedirs(path, exist_ok=True)
        try:
            mount(f"share{number}", path, fstype="9p", data="trans=virtio,version=9p2000.L,msize=262144")
        except OSError as error:
            _say(f"share `{path}`: {error.strerror}: this kernel may be without 9p; Debian's for all machines has it, that for clouds does not")
    with open_route_socket() as sock:
        set_loopback_up(sock)
        if settings.address:
            set_link_up(sock, "eth0")
            add_address(sock, "eth0", settings.address)
            add_route(sock, settings.gateway)
    if settings.name_server:
        Path("/etc/resolv.conf").write_text(f"nameserver {settings.name_server}\n", encoding="ascii")
    Path("/etc/hosts").write_text(f"127.0.0.1 localhost {settings.hostname}\n::1 localhost\n", encoding="ascii")


def mount_data_disk(disk: str) -> None:
    """Mount the data disk, and format it first if it is empty: nothing but zeros where a file system, or anything else, begins.

    Raises:
        HostError: something is on it that cannot be mounted. It is left as it is.
    """
    with open(disk, "rb") as file:
        begin = file.read(DISK_HEAD_BYTES)
    if not any(begin):
        _say("the data disk is empty: formatting it")
        done = subprocess.run(["/bin/busybox", "mke2fs", "-F", "-m", "0", "-i", "65536", "-L", "data", disk], capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostError(f"format the data disk: {done.stderr.strip() or done.stdout.strip()}")
    os.makedirs(DATA_DIRECTORY, exist_ok=True)
    try:
        mount(disk, DATA_DIRECTORY, fstype="ext4", flags=Ms.NOATIME)
    except OSError as error:
        raise HostError(f"{error.strerror}: the data disk is damaged, or holds something else, and was left as it is") from error


def _mount_control_groups(version: int) -> None:
    if version == 2:
        mount("cgroup2", "/sys/fs/cgroup", fstype="cgroup2", flags=Ms.NOSUID | Ms.NODEV | Ms.NOEXEC)
        return
    mount("tmpfs", "/sys/fs/cgroup", fstype="tmpfs", flags=Ms.NOSUID | Ms.NODEV | Ms.NOEXEC, data="mode=755")
    known = {line.split()[0] for line in Path("/proc/cgroups").read_text(encoding="ascii").splitlines()[1:]}
    for tree in CONTROLLERS:
        here = ",".join(name for name in tree.split(",") if name in known)
        if here:
            os.mkdir(f"/sys/fs/cgroup/{here}")
            mount("cgroup", f"/sys/fs/cgroup/{here}", fstype="cgroup", flags=Ms.NOSUID | Ms.NODEV | Ms.NOEXEC, data=here)


def _run_command(settings: Settings) -> int:
    """Run the command to its end, burying every orphan meanwhile; return its status."""
    environment = {"PATH": PATH, "HOME": "/root", "TERM": "vt102", **settings.environment}
    process = subprocess.Popen(settings.command, env=environment, cwd=settings.directory, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_obey_host, args=(process.pid,), daemon=True).start()
    if settings.console_shell:
        threading.Thread(target=_offer_shells, daemon=True).start()
    status = _wait_for(process.pid)
    process.returncode = status  # it was waited for here, not by Popen
    if settings.result and Path(settings.result).exists():
        port = _find_port("result")
        if port:
            with open(port, "wb", buffering=0) as output:
                output.write(Path(settings.result).read_bytes())
    return status


def _wait_for(pid: int) -> int:
    """Wait until process *pid* ends. Whoever lost its parent is a child of process 1, and waits to be buried here."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _find_port(name: str) -> str:
    """Return the device of the channel to the host called *name*, or nothing."""
    for path in Path("/sys/class/virtio-ports").glob("*/name"):
        if path.read_text(encoding="ascii").strip() == name:
            return f"/dev/{path.parent.name}"
    return ""


def _obey_host(pid: int) -> None:
    """End the command when the host says so."""
    port = _find_port("control")
    if not port:
        return
    with open(port, "rb", buffering=0) as orders:
        while True:
            if orders.readline().strip() == b"off":
                _say("the host wants this machine off")
                os.kill(pid, signal.SIGTERM)
                threading.Timer(STOP_LIMIT_S, os.kill, (pid, signal.SIGKILL)).start()
                return


def _start_shell() -> subprocess.Popen[bytes]:
    """Start a shell on the console; busybox's `cttyhack` makes that its controlling terminal, so that Ctrl-C works."""
    command = ["/bin/busybox", "setsid", "cttyhack", "/bin/sh", "-l"] if os.path.exists("/bin/busybox") else ["/bin/sh", "-l"]
    return subprocess.Popen(command, env={"PATH": PATH, "HOME": "/root", "TERM": "linux", "PS1": "machine:\\w# "}, cwd="/root")


def _run_shell() -> None:
    _wait_for(_start_shell().pid)


def _offer_shells() -> None:
    """Start a shell on the console, and the next when it has ended."""
    while True:
        shell = _start_shell()
        while os.path.exists(f"/proc/{shell.pid}"):  # process 1 buries every child, so `wait` here would find none
            time.sleep(SHELL_POLL_S)
        shell.returncode = 0


def _end_everybody() -> None:
    """End all processes, containers' too, and unmount the data disk once nobody uses it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # there may be nobody left
            os.kill(-1, number)
        time.sleep(END_GRACE_S)
    os.sync()
    with suppress(OSError):  # no data disk, or something in the kernel still holds it; what was written is on it
        umount2(DATA_DIRECTORY)
