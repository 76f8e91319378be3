"""`machine create|start|stop|shell|env|inspect|ls|rm`: a small Linux machine with the server in it, for hosts that cannot run one.

Acts. Everything a machine is lies below one directory (`MINIDOCKER_MACHINE_HOME`, else `~/.minidocker/machine`); nothing of it needs
root. Any Docker client on this host uses it after `eval "$(minidocker machine env)"`. Chapter 20.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from minidocker.cli.command import Command
from minidocker.cli.flags import BOOL, INT, LIST, STRING, Flag
from minidocker.errors import HostError, MinidockerError, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.machine.kernels import Kernel

__all__ = ["CREATE", "ENV", "INSPECT", "LS", "RM", "SHELL", "START", "STOP"]

START_LIMIT_S = 180.0
"""Until the server in a machine answers: under emulation, on a busy host."""
STOP_LIMIT_S = 60.0
POLL_S = 0.2
KERNEL_VERSION = "6.1"
CERTIFICATE_DAYS = 3650
CERTIFICATE_HOSTS = ("localhost", "127.0.0.1", "::1")
SHELL_END = b"\x1d"
"""Ctrl-]: leaves the console, as telnet and virsh do."""


def machines_root() -> Path:
    """Return the directory that holds every machine."""
    return Path(os.environ.get("MINIDOCKER_MACHINE_HOME") or Path.home() / ".minidocker" / "machine")


def name_of(options: Options) -> str:
    """Return the machine that the command line means."""
    return options.arguments[0] if options.arguments else "default"


def create(session: Session, options: Options) -> int:
    """Put a machine together: kernel, system, certificates, an empty disk."""
    from minidocker.machine.initramfs import find_interpreter
    from minidocker.machine.qemu import find_qemu
    from minidocker.machine.serve import build_system, fill_directory
    from minidocker.machine.store import MachineRecord, create_machine
    from minidocker.tls.authority import CLIENT_FILES, SERVER_FILES, write_certificates

    interpreter = find_interpreter(sys.executable)
    find_qemu(interpreter.machine)
    defaults = MachineRecord(name="default", machine=interpreter.machine)
    record = MachineRecord(
        name=name_of(options), machine=interpreter.machine, processors=options.number("cpus") or defaults.processors,
        memory_mib=options.number("memory") or defaults.memory_mib, disk_mib=options.number("disk") or defaults.disk_mib,
        port=options.number("port") or defaults.port, shares=tuple(os.path.realpath(path) for path in options.texts("share")),
    )  # fmt: skip
    with create_machine(machines_root(), record) as directory:
        kernel = _find_kernel(options.text("kernel"), interpreter.machine)
        system = directory / "system"
        build_system(interpreter, Path(__file__).resolve().parents[2], system)
        write_certificates(directory / "tls", CERTIFICATE_HOSTS, days=CERTIFICATE_DAYS)
        certificates = {name: (directory / "tls" / name).read_bytes() for name in SERVER_FILES}
        fill_directory(directory, record, kernel, system, certificates, own_paths=(str(interpreter.program), "/opt"))
        system.unlink()
        for name in set(SERVER_FILES) - set(CLIENT_FILES):
            (directory / "tls" / name).unlink()  # the server's key is in the machine; here nobody needs it
        size = sum(path.stat().st_size for path in (directory / "kernel", directory / "initramfs"))
    print(f"created machine `{record.name}` ({size / 1e6:.1f} MB, Linux {kernel.image.version.partition(' ')[0]}); start it: minidocker machine start {record.name}")
    return 0


def _find_kernel(path: str, machine: str) -> Kernel:
    from minidocker.machine.kernel_image import require_machine
    from minidocker.machine.kernels import open_kernel
    from minidocker.machine.modules import MACHINE_MODULES, SHARING_MODULES
    from minidocker.machine.packages import fetch_package

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "minidocker", "machine")
    package = Path(path) if path else fetch_package(KERNEL_VERSION, flavour="", machine=machine, cache=cache)
    kernel = open_kernel(package, cache=cache, wanted=(*MACHINE_MODULES, *SHARING_MODULES))
    require_machine(kernel.image, machine, path=str(package))
    return kernel


def start(session: Session, options: Options) -> int:
    """Start a machine in the background, and return when its server answers."""
    from minidocker.machine.boot import spawn_in_background
    from minidocker.machine.qemu import find_qemu
    from minidocker.machine.serve import require_free_port
    from minidocker.machine.store import hold_lock, read_machine

    root, name = machines_root(), name_of(options)
    record = read_machine(root, name)
    find_qemu(record.machine)
    with hold_lock(root / name):  # says so if it runs already
        require_free_port(record.port, name)
    begin = time.monotonic()
    command = [sys.executable, "-c", _SUPERVISE, str(Path(__file__).resolve().parents[2]), str(root), name]
    supervisor = spawn_in_background(command, root / name / "machine.log")
    while not _answers(root / name, record.port):
        if supervisor.poll() is not None or time.monotonic() - begin > START_LIMIT_S:
            raise HostError(_explain_failure(root / name, ended=supervisor.poll() is not None))
        time.sleep(POLL_S)
    supervisor.returncode = 0  # it goes on without us
    print(f"machine `{name}` answers after {time.monotonic() - begin:.1f} s; use it: eval \"$(minidocker machine env {name})\"")
    return 0


_SUPERVISE = "import sys; sys.path.insert(0, sys.argv[1]); from minidocker.cli.machine import run_supervisor; run_supervisor(sys.argv[2], sys.argv[3])"


def run_supervisor(root: str, name: str) -> None:
    """Be the process in the background."""
    from minidocker.cli.machine_supervise import supervise

    try:
        sys.exit(supervise(Path(root), name))
    except MinidockerError as error:
        sys.exit(f"{error}")


def _explain_failure(directory: Path, *, ended: bool) -> str:
    from minidocker.machine.boot import explain_console

    cause = "it ended before its server answered" if ended else f"its server did not answer in {START_LIMIT_S:.0f} s"
    log = directory / ("console.log" if (directory / "console.log").exists() else "machine.log")
    hint = "" if ended else f"\nIt goes on; `minidocker machine stop {directory.name}` ends it."
    return explain_console(log, cause) + hint


def _answers(directory: Path, port: int) -> bool:
    """Whether the server in the machine answers a ping, with the right certificate."""
    from minidocker.client.transport import Transport
    from minidocker.cli.machine_supervise import connect_to_machine

    client = Transport(lambda: connect_to_machine(directory, port))
    try:
        return client.call("GET", "/_ping").read() == b"OK"
    except (OSError, MinidockerError):
        return False
    finally:
        client.close()


def stop(session: Session, options: Options) -> int:
    """Let a machine end its server, unmount its disk and go off; one that does not is switched off."""
    import signal

    from minidocker.machine.serve import order_off
    from minidocker.machine.store import is_running, read_machine

    root, name = machines_root(), name_of(options)
    read_machine(root, name)
    directory = root / name
    if not is_running(directory):
        print(f"machine `{name}` is not running")
        return 0
    heard, deadline = order_off(directory), time.monotonic() + STOP_LIMIT_S
    while is_running(directory) and heard and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if is_running(directory):
        print(f"machine `{name}` does not go off by itself and is switched off", file=sys.stderr)
        os.kill(int((directory / "pid").read_text(encoding="ascii")), signal.SIGTERM)
        while is_running(directory):
            time.sleep(POLL_S)
    return 0


def env(session: Session, options: Options) -> int:
    """Print what a shell needs to use a machine's server."""
    from minidocker.machine.store import read_machine

    root, name = machines_root(), name_of(options)
    record = read_machine(root, name)
    values = {"DOCKER_HOST": f"tcp://localhost:{record.port}", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(root / name / "tls")}
    shell = options.text("shell") or ("powershell" if os.name == "nt" else "sh")
    print(render_environment(values, shell, unset=options.switch("unset")))
    return 0


def render_environment(values: dict[str, str], shell: str, *, unset: bool) -> str:
    """Return the lines that set (or *unset*) *values* in a *shell*."""
    import shlex

    if shell == "fish":
        lines = [f"set -e {name};" if unset else f"set -gx {name} {shlex.quote(value)};" for name, value in values.items()]
    elif shell == "powershell":
        lines = [f"Remove-Item Env:{name}" if unset else f'$Env:{name} = "{value}"' for name, value in values.items()]
    else:
        lines = [f"unset {name}" if unset else f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join(lines)


def inspect(session: Session, options: Options) -> int:
    """Print what a machine is, as JSON."""
    import json

    from minidocker.machine.store import is_running, read_machine
    from minidocker.spec.record import render_record

    root, found = machines_root(), []
    for name in options.arguments or ["default"]:
        record, directory = read_machine(root, name), root / name
        running, used = is_running(directory), (directory / "disk").stat()
        state = {
            "Running": running, "Pid": int((directory / "pid").read_text()) if running and (directory / "pid").exists() else 0,
            "Directory": str(directory), "DockerHost": f"tcp://localhost:{record.port}", "DiskUsedBytes": getattr(used, "st_blocks", 0) * 512,
        }  # fmt: skip
        document = render_record(record)
        assert isinstance(document, dict)
        found.append({**document, "State": state})
    print(json.dumps(found, indent=4))
    return 0


def list_all(session: Session, options: Options) -> int:
    """Print a line for each machine."""
    from minidocker.cli.table import render_table
    from minidocker.machine.store import is_running, list_machines, read_machine

    root = machines_root()
    rows = [[name, "running" if is_running(root / name) else "off", f"tcp://localhost:{read_machine(root, name).port}"] for name in list_machines(root)]
    print(render_table([["NAME", "STATE", "DOCKER_HOST"], *rows]))
    return 0


def remove(session: Session, options: Options) -> int:
    """Remove machines, with everything on their disks."""
    from minidocker.machine.store import is_running, remove_machine

    for name in options.arguments:
        if options.switch("force") and (machines_root() / name).is_dir() and is_running(machines_root() / name):
            stop(session, _with_arguments(options, name))
        remove_machine(machines_root(), name)
        print(name)
    return 0


def _with_arguments(options: Options, name: str) -> Options:
    options.arguments = [name]
    return options


def shell(session: Session, options: Options) -> int:
    """Connect this terminal with the machine's console, where a shell waits; Ctrl-] comes back."""
    import select
    import socket

    from minidocker.cli.terminal import raw_terminal
    from minidocker.machine.store import is_running, read_machine

    root, name = machines_root(), name_of(options)
    read_machine(root, name)
    if not is_running(root / name):
        raise NotFound(f"machine `{name}` is not running", hint=f"minidocker machine start {name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
        console.connect(str(root / name / "console"))
        print(f"console of machine `{name}`; Ctrl-] comes back", file=sys.stderr)
        console.sendall(b"\r")
        with raw_terminal(0, wanted=True):
            sources: list[int] = [0, console.fileno()]
            while True:
                for ready in select.select(sources, [], [])[0]:
                    piece = os.read(0, 4096) if ready == 0 else console.recv(65536)
                    if ready == 0 and SHELL_END in piece:
                        return 0
                    if ready == 0 and not piece:
                        sources.remove(0)
                    elif ready == 0:
                        console.sendall(piece)
                    elif piece:
                        os.write(1, piece)
                    else:
                        return 0


CREATE = Command(
    "[OPTIONS] [MACHINE]", create,
    (
        Flag("cpus", INT, "Processors (default 1)"), Flag("disk", INT, "Size of the data disk in MiB; it takes only what is used (default 10240)"),
        Flag("kernel", STRING, f"Kernel package (.deb) or kernel file; without, Debian's {KERNEL_VERSION} is fetched"),
        Flag("memory", INT, "Memory in MiB (default 1024)", short="m"),
        Flag("port", INT, "Port of this host on which the server is reached (default 2376)"),
        Flag("share", LIST, "Folder of this host that containers may mount; may be repeated"),
    ),
    maximum=1,
)  # fmt: skip
START = Command("[MACHINE]", start, (), maximum=1)
STOP = Command("[MACHINE]", stop, (), maximum=1)
SHELL = Command("[MACHINE]", shell, (), maximum=1)
ENV = Command(
    "[OPTIONS] [MACHINE]", env,
    (Flag("shell", STRING, "Write it for `sh`, `fish` or `powershell`"), Flag("unset", BOOL, "Undo it", short="u")), maximum=1,
)  # fmt: skip
INSPECT = Command("[MACHINE...]", inspect, ())
LS = Command("", list_all, (), maximum=0)
RM = Command("[OPTIONS] MACHINE [MACHINE...]", remove, (Flag("force", BOOL, "Stop it first", short="f"),), minimum=1)
