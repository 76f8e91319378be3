"""`oci`: the command line of runc, for podman, containerd and people with a bundle. Acts.

Unlike every other command of the client it speaks to no server: it is the run time. `create`, `run` and `exec` first replace the
interpreter by a sealed copy of itself, because what they fork could reach it from inside the container (CVE-2019-5736). Errors go to
standard error and to the file of `--log`, where callers look for them. Chapter 16.
"""

from __future__ import annotations

import os
import sys

from minidocker.cli.command import Command
from minidocker.cli.flags import BOOL, INT, LIST, STRING, Flag, HelpRequested, UsageError, parse_flags
from minidocker.errors import MinidockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.oci.bundle import Process
    from minidocker.oci.state import ContainerState, StateStore
    from minidocker.oci.verbs import CreateOptions
    from minidocker.spec.record import Json

__all__ = ["OCI", "runtime_main"]

DEFAULT_ROOT = "/run/minidocker-oci"
_AGAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from minidocker.cli.oci import runtime_main; sys.exit(runtime_main())"
GLOBAL_FLAGS = (
    Flag("root", STRING, "Directory for state files", default=DEFAULT_ROOT),
    Flag("log", STRING, "File to write errors to"),
    Flag("log-format", STRING, "Format of that file: text or json", default="text"),
    Flag("debug", BOOL, "Taken for the sake of callers, without effect"),
    Flag("systemd-cgroup", BOOL, "Refused: control groups are made here, not by systemd"),
    Flag("rootless", STRING, "Taken for the sake of callers, without effect"),
    Flag("version", BOOL, "Print the version", short="v"),
)
_BUNDLE = Flag("bundle", STRING, "Directory of the bundle (default: the working directory)", short="b")
_CONSOLE = Flag("console-socket", STRING, "Socket that receives the terminal's master side")
_PID_FILE = Flag("pid-file", STRING, "File to write the process id to")
_RUNNING = (
    Flag("no-pivot", BOOL, "Move the root over the old one instead, where the machine runs from a ramdisk"),
    Flag("no-new-keyring", BOOL, "Taken, without effect"),
    Flag("preserve-fds", INT, "How many descriptors from 3 upwards the process keeps"),
)


class _Context:
    """What every operation gets."""

    def __init__(self, store: StateStore, options: Options) -> None:
        self.store = store
        self.options = options

    def container(self) -> str:
        """Return the container's id, the first argument.

        Raises:
            UsageError: there is none.
        """
        if not self.options.arguments:
            raise UsageError("oci: container id required")
        return self.options.arguments[0]

    def console(self) -> Callable[[int], None] | None:
        """Return how a terminal's master side is handed over."""
        path = self.options.text("console-socket")
        if not path:
            return None
        from minidocker.oci.birth import send_console

        return lambda master: send_console(master, path)

    def creation(self, take_console: Callable[[int], None] | None) -> CreateOptions:
        """Return what the command line says beside the bundle."""
        from pathlib import Path

        from minidocker.oci.verbs import CreateOptions

        options = self.options
        return CreateOptions(
            bundle=Path(options.text("bundle") or "."), take_console=take_console, pid_file=options.text("pid-file"),
            preserve_fds=options.number("preserve-fds"), pivot=not options.switch("no-pivot"),
        )  # fmt: skip


def create(context: _Context) -> int:
    """Make a container that waits for `start`."""
    from minidocker.oci.verbs import create_container

    create_container(context.store, context.container(), context.creation(context.console()))
    return 0


def start(context: _Context) -> int:
    """Let it run its command."""
    from minidocker.oci.verbs import start_container

    start_container(context.store, context.container())
    return 0


def run(context: _Context) -> int:
    """Create, start, wait and delete in one."""
    from minidocker.oci.verbs import create_container, delete_container, start_container

    detach = context.options.switch("detach")
    masters: list[int] = []
    take = context.console() or (None if detach else masters.append)
    state = create_container(context.store, context.container(), context.creation(take))
    try:
        start_container(context.store, state.id)
    except BaseException:
        delete_container(context.store, state.id, force=True)
        raise
    if detach:
        return 0
    status = _wait(state.pid, masters)
    if not context.options.switch("keep"):
        delete_container(context.store, state.id, force=True)
    return status


def _wait(pid: int, masters: list[int]) -> int:
    """Wait for our child, and connect its terminal to ours until then."""
    from minidocker.oci.verbs import wait_process

    if masters:
        _relay(masters[0])
    return wait_process(pid)


def _relay(master: int) -> None:
    """Copy between a terminal and our standard streams until it is hung up."""
    import select
    import shutil

    from minidocker.cli.terminal import raw_terminal
    from minidocker.kernel.terminal import set_window_size

    size = shutil.get_terminal_size()
    set_window_size(master, rows=size.lines, columns=size.columns)
    with raw_terminal(0, wanted=True):
        sources = [0, master]
        while True:
            for ready in select.select(sources, [], [])[0]:
                try:
                    data = os.read(ready, 65536)
                except OSError:  # EIO: the last process of the terminal is gone
                    data = b""
                if not data and ready == master:
                    return
                if not data:
                    sources.remove(0)
                    continue
                os.write(1 if ready == master else master, data)


def state(context: _Context) -> int:
    """Print the state of a container as JSON."""
    import json

    from minidocker.oci.state import render_state

    found = context.store.require(context.container())
    more: dict[str, Json] = {"rootfs": _rootfs(context.store, found), "created": found.created, "owner": ""}
    print(json.dumps(render_state(found, context.store.status(found)) | more, indent=2))
    return 0


def _rootfs(store: StateStore, found: ContainerState) -> str:
    from pathlib import Path

    return str((Path(found.bundle) / store.spec(found.id).root.path).resolve())


def kill(context: _Context) -> int:
    """Send a signal to a container's first process."""
    from minidocker.container.signals import parse_signal
    from minidocker.oci.verbs import kill_container

    words = context.options.arguments
    number = parse_signal(words[1] if len(words) > 1 else "TERM")
    kill_container(context.store, context.container(), number, all_processes=context.options.switch("all"))
    return 0


def delete(context: _Context) -> int:
    """Remove a container that has stopped."""
    from minidocker.oci.verbs import delete_container

    delete_container(context.store, context.container(), force=context.options.switch("force"))
    return 0


def execute(context: _Context) -> int:
    """Run one more process in a container."""
    from minidocker.oci.verbs import exec_process

    detach = context.options.switch("detach")
    masters: list[int] = []
    take = context.console() or (None if detach else masters.append)
    pid = exec_process(
        context.store, context.container(), _read_process(context), take_console=take, pid_file=context.options.text("pid-file"),
        preserve_fds=context.options.number("preserve-fds"), ignore_paused=context.options.switch("ignore-paused"),
        groups=tuple(context.options.texts("cgroup")),
    )  # fmt: skip
    return 0 if detach else _wait(pid, masters)


def _read_process(context: _Context) -> Process:
    """Return the process of `--process`, or of the command line over that of the bundle."""
    from dataclasses import replace
    from pathlib import Path

    from minidocker.oci.bundle import Process, User, read_process

    options = context.options
    if options.text("process"):
        return read_process(Path(options.text("process")))
    words = options.arguments[1:]
    if not words:
        raise UsageError("oci: process args cannot be empty")
    context.store.require(context.container())
    base = context.store.spec(context.container()).process or Process()
    uid, _, gid = options.text("user").partition(":")
    user = User(uid=int(uid or 0), gid=int(gid or 0)) if options.text("user") else base.user
    user = replace(user, additional_gids=(*user.additional_gids, *map(int, options.texts("additional-gids"))))
    return replace(
        base, args=tuple(words), env=(*base.env, *options.texts("env")), cwd=options.text("cwd") or base.cwd,
        terminal=options.switch("tty"), user=user, no_new_privileges=base.no_new_privileges or options.switch("no-new-privs"),
    )  # fmt: skip


def list_all(context: _Context) -> int:
    """List containers."""
    import json

    from minidocker.cli.table import render_table
    from minidocker.oci.state import render_state

    found = [(item, context.store.status(item)) for item in context.store.all()]
    if context.options.switch("quiet"):
        print("\n".join(item.id for item, _ in found))
    elif context.options.text("format") == "json":
        whole = [
            render_state(item, status) | {"rootfs": _rootfs(context.store, item), "created": item.created, "owner": "root"} for item, status in found
        ]
        print(json.dumps(whole, separators=(",", ":")))
    else:
        rows = [[i.id, str(0 if s == "stopped" else i.pid), s.value, i.bundle, i.created, "root"] for i, s in found]
        print(render_table([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], *rows]))
    return 0


def processes(context: _Context) -> int:
    """Print the host pids of a container's processes."""
    import json

    from minidocker.oci.verbs import list_pids

    pids = list_pids(context.store.require(context.container()))
    print(json.dumps(pids) if context.options.text("format") == "json" else "\n".join(["PID", *map(str, pids)]))
    return 0


def pause(context: _Context) -> int:
    """Freeze all processes of a container."""
    from minidocker.oci.verbs import freeze_container

    freeze_container(context.store, context.container(), frozen=True)
    return 0


def resume(context: _Context) -> int:
    """Let a frozen container go on."""
    from minidocker.oci.verbs import freeze_container

    freeze_container(context.store, context.container(), frozen=False)
    return 0


def update(context: _Context) -> int:
    """Set the limits that a file (`-r FILE`, `-` is standard input) holds."""
    import json
    from pathlib import Path

    from minidocker.oci.bundle import Resources
    from minidocker.oci.verbs import update_limits
    from minidocker.spec.quantity import parse_bytes
    from minidocker.spec.record import read_record

    place = context.options.text("resources")
    document = json.loads(sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")) if place else {}
    for flag, (section, key, kind) in _LIMITS.items():
        if flag in context.options.given:
            value = context.options.text(flag)
            document.setdefault(section, {})[key] = value if kind == "text" else int(value) if kind == "number" or value == "-1" else parse_bytes(value)
    update_limits(context.store, context.container(), read_record(Resources, document, where="resources"))
    return 0


def spec(context: _Context) -> int:
    """Write a `config.json` to begin with."""
    import json
    from pathlib import Path

    from minidocker.cgroup.layout import read_layout
    from minidocker.oci.example import adapt_example

    path = Path(context.options.text("bundle") or ".", "config.json")
    if path.exists():
        raise UsageError(f"oci: File {path} exists. Remove it first")
    path.write_text(json.dumps(adapt_example(version=read_layout().version), indent=4) + "\n", encoding="utf-8")
    return 0


def features(_context: _Context) -> int:
    """Print what this run time can do, as the specification has it."""
    import json

    from minidocker.oci.example import render_features

    print(json.dumps(render_features(), indent=2))
    return 0


_LIMITS = {
    "memory": ("memory", "limit", "bytes"), "memory-reservation": ("memory", "reservation", "bytes"), "memory-swap": ("memory", "swap", "bytes"),
    "pids-limit": ("pids", "limit", "number"), "blkio-weight": ("blockIO", "weight", "number"), "cpu-share": ("cpu", "shares", "number"),
    "cpu-quota": ("cpu", "quota", "number"), "cpu-period": ("cpu", "period", "number"), "cpu-rt-period": ("cpu", "realtimePeriod", "number"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", "number"), "cpuset-cpus": ("cpu", "cpus", "text"), "cpuset-mems": ("cpu", "mems", "text"),
}  # fmt: skip
"""Flag of `update` → where the specification has it, and how it is written."""

OPERATIONS: dict[str, tuple[Callable[[_Context], int], tuple[Flag, ...], bool]] = {
    "create": (create, (_BUNDLE, _CONSOLE, _PID_FILE, *_RUNNING), True),
    "start": (start, (), False),
    "run": (run, (_BUNDLE, _CONSOLE, _PID_FILE, Flag("detach", BOOL, "Do not wait", short="d"), Flag("keep", BOOL, "Do not delete"), *_RUNNING), True),
    "state": (state, (), False),
    "kill": (kill, (Flag("all", BOOL, "To every process", short="a"),), False),
    "delete": (delete, (Flag("force", BOOL, "Kill it first", short="f"),), False),
    "exec": (
        execute,
        (
            _CONSOLE, _PID_FILE, Flag("process", STRING, "File with the process", short="p"), Flag("detach", BOOL, "Do not wait", short="d"),
            Flag("tty", BOOL, "Make a terminal", short="t"), Flag("env", LIST, "Set a variable", short="e"), Flag("cwd", STRING, "Working directory"),
            Flag("user", STRING, "uid[:gid]", short="u"), Flag("no-new-privs", BOOL, "Forbid gaining privileges"),
            Flag("additional-gids", LIST, "One more group", short="g"), Flag("ignore-paused", BOOL, "Wait until a paused container goes on"),
            Flag("cgroup", LIST, "Control group below the container's: [CONTROLLERS:]PATH"), *_RUNNING,
        ),
        True,
    ),
    "list": (list_all, (Flag("format", STRING, "table or json", short="f", default="table"), Flag("quiet", BOOL, "Only ids", short="q")), False),
    "ps": (processes, (Flag("format", STRING, "table or json", short="f", default="table"),), False),
    "pause": (pause, (), False),
    "resume": (resume, (), False),
    "update": (
        update,
        (
            Flag("resources", STRING, "File with the limits", short="r"),
            *(Flag(name, STRING, f"The limit `{section}.{key}` of the specification") for name, (section, key, _) in _LIMITS.items()),
        ),
        False,
    ),
    "spec": (spec, (_BUNDLE,), False),
    "features": (features, (), False),
}  # fmt: skip
"""Operation → what it does, its flags, and whether it forks into a container."""


def _seal(words: list[str]) -> None:
    """Go on as a sealed copy of the interpreter that nobody can look into; see `minidocker.container.launcher`."""
    from pathlib import Path

    from minidocker.kernel import process

    if os.readlink("/proc/self/exe").startswith("/memfd:"):
        process.set_not_dumpable()
        return
    copy = process.make_sealed_copy(sys.executable)
    root = str(Path(__file__).resolve().parents[2])
    os.execve(f"/proc/self/fd/{copy}", [sys.executable, "-I", "-S", "-c", _AGAIN, root, *words], dict(os.environ))


def _operate(words: list[str]) -> int:
    options = parse_flags(GLOBAL_FLAGS, words, interspersed=False)
    if options.switch("version"):
        from minidocker import VERSION

        print(f"minidocker-runtime version {VERSION}\nspec: 1.0.2")
        return 0
    if options.switch("systemd-cgroup"):
        raise UsageError("oci: --systemd-cgroup is not supported: control groups are made here, not by systemd")
    name, *rest = options.arguments or ["help"]
    if name not in OPERATIONS:
        raise UsageError(f"oci: no operation `{name}`; there are {', '.join(OPERATIONS)}")
    act, flags, forks = OPERATIONS[name]
    parsed = parse_flags(flags, rest, interspersed=name != "exec")
    if forks:
        _seal(words)
    from pathlib import Path

    from minidocker.oci.state import StateStore

    return act(_Context(StateStore(Path(options.text("root"))), parsed))


def _report(words: list[str], text: str) -> None:
    """Write an error where the caller looks for it: standard error, and the file of `--log`."""
    import json
    import time

    print(f"minidocker-runtime: {text}", file=sys.stderr)
    try:
        options = parse_flags(GLOBAL_FLAGS, words, interspersed=False)
    except (UsageError, HelpRequested):
        return
    if options.text("log"):
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"level": "error", "msg": text, "time": moment})
        if options.text("log-format") != "json":
            line = f'time="{moment}" level=error msg={json.dumps(text)}'
        with open(options.text("log"), "a", encoding="utf-8") as log:
            log.write(line + "\n")


def _act(words: list[str]) -> int:
    try:
        return _operate(words)
    except HelpRequested:
        print(f"minidocker oci [--root DIR] OPERATION …\n\nOperations: {', '.join(OPERATIONS)}")
        return 0
    except UsageError as error:
        _report(words, error.message)
        return 1
    except MinidockerError as error:
        _report(words, str(error))
        return 255 if words and "exec" in words else 1
    except OSError as error:
        _report(words, f"{error.strerror}: {error.filename}" if error.filename else str(error))
        return 255 if "exec" in words else 1


def runtime_main() -> int:
    """Be `minidocker-runtime`: the program name under which podman and others call this; return the exit status."""
    return _act(sys.argv[1:])


def oci(_session: Session, options: Options) -> int:
    """Carry out one operation of the OCI run time."""
    return _act(options.arguments)


OCI = Command("[--root DIR] OPERATION [ARG...]", oci, (), interspersed=False)
