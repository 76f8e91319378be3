"""The process that holds the learner's code: it loads it, calls it when it is told to, and answers with plain data.

Runs as `python3 -I -S worker.py`, alone in an empty directory. The first line of standard input says what to load; then each line
is one request, and each line of the answer begins with the word that the first line named. What the learner's code prints goes
elsewhere. Tests never come here, and nothing here decides whether they pass: that is done by the process at the other end, from the
values. Whoever takes this process over has gained the right to return wrong values, which anybody has.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import CodeType, ModuleType
from typing import Any

MEMORY_BYTES = 1 << 30
FILE_BYTES = 16 << 20
OPEN_FILES = 256
CPU_S = 120


class _LearnerLoader(importlib.machinery.SourceFileLoader):
    """Loads a file as it is now; no compiled copy is read or left behind."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source."""
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)


class LearnerFinder(importlib.abc.MetaPathFinder):
    """The one import hook: modules that the learner has a copy of are loaded from there."""

    def __init__(self, files: dict[str, str]) -> None:
        """Serve *files*: module → path."""
        self._files = files

    def find_spec(self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """Return where the learner's copy of a module is, if there is one."""
        path = self._files.get(fullname)
        return importlib.util.spec_from_file_location(fullname, path, loader=_LearnerLoader(fullname, path)) if path else None


def limit_resources(processes: int = 0) -> None:
    """Take away what no exercise needs: memory, time, large files, core dumps. Windows has none of these limits."""
    with suppress(ImportError):
        import resource

        limits = {"RLIMIT_AS": MEMORY_BYTES, "RLIMIT_FSIZE": FILE_BYTES, "RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_CPU": CPU_S, "RLIMIT_CORE": 0}
        limits |= {"RLIMIT_NPROC": processes} if processes else {}
        for name, value in limits.items():
            with suppress(OSError, ValueError):  # macOS refuses some; a lower limit that is there already stays
                resource.setrlimit(getattr(resource, name), (value, value))


def enter_namespaces() -> None:
    """Keep the mistakes of a kernel exercise from this machine: own mounts, network, names and message queues.

    A user who is not root becomes root of a user namespace first. Children get process numbers of their own.
    """
    import ctypes

    new_mounts, new_uts, new_ipc, new_user, new_net = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = new_mounts | new_uts | new_ipc | new_net | (new_user if uid else 0)
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    recursive_private = 0x4000 | 0x40000
    if libc.mount(b"none", b"/", None, recursive_private, None):
        raise OSError(ctypes.get_errno(), f"mount: {os.strerror(ctypes.get_errno())}")


class EndlessLoop(BaseException):
    """A call has computed longer than any of the book's functions needs."""


@contextmanager
def limit_computing(seconds: float) -> Iterator[None]:
    """Interrupt what computes for more than *seconds* of processor time, so that the line is known where it did; not on Windows."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise EndlessLoop

    signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


class Counter:
    """Replaces each target by itself with a count: how the other end knows that the learner's code was what ran."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.calls: dict[str, int] = {}

    def watch(self, module: ModuleType, qualname: str) -> str:
        """Count the calls of a function of *module* from now on; return the file that it was compiled from."""
        holder: Any = module
        *path, name = qualname.split(".")
        for part in path:
            holder = getattr(holder, part)
        found = vars(holder)[name]
        kind = type(found)
        function = found.fget if kind is property else getattr(found, "__func__", found)
        key = f"{module.__name__}:{qualname}"
        self.calls[key] = 0
        counting = self._wrap(function, key)
        new = property(counting, found.fset, found.fdel) if kind is property else kind(counting) if kind in (staticmethod, classmethod) else counting
        setattr(holder, name, new)
        return str(_innermost(function).__code__.co_filename)

    def _wrap(self, function: Any, key: str) -> Callable[..., Any]:
        import functools

        @functools.wraps(function)
        def counting(*args: Any, **kwargs: Any) -> Any:
            self.calls[key] += 1
            return function(*args, **kwargs)

        return counting


def _innermost(function: Any) -> Any:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


class Worker:
    """Answers requests."""

    def __init__(self, files: dict[str, str]) -> None:
        """Hold nothing yet; *files* are the learner's: module → path."""
        self._kept: list[Any] = []
        self._counter = Counter()
        self._files = files

    def load(self, targets: list[str]) -> dict[str, str]:
        """Import the learner's modules and return the file of every target."""
        for name in self._files:
            importlib.import_module(name)
        places = {}
        for target in targets:
            module, _, qualname = target.partition(":")
            places[target] = self._counter.watch(importlib.import_module(module), qualname)
        return places

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request says and return the answer; an exception is one of the possible answers."""
        from chapters import wire

        try:
            with limit_computing(request["computing_s"]):  # turning the result into data may run a generator of the learner's
                value = wire.encode(self._perform(request), self._keep)
            return {"value": value, "calls": self._counter.calls}
        except EndlessLoop as error:
            return {"endless": self.locate(error), "calls": self._counter.calls}
        except wire.WireError as error:
            return {"unfit": str(error), "calls": self._counter.calls}
        except BaseException as error:  # noqa: BLE001  # the learner's code may raise anything, and that is its answer
            return {"raised": wire.encode_error(error), "where": self.locate(error), "calls": self._counter.calls}

    def _perform(self, request: dict[str, Any]) -> Any:
        from chapters import wire

        subject = self._find(request["subject"])
        match request["do"]:
            case "find":
                return subject
            case "get":
                return getattr(subject, request["name"])
            case "list":
                return iter(subject)
            case _:
                args, kwargs = (wire.decode(request[key], lambda number, _kind: self._kept[number]) for key in ("args", "kwargs"))
                return subject(*args, **kwargs)

    def _find(self, subject: int | str) -> Any:
        if isinstance(subject, int):
            return self._kept[subject]
        module, _, qualname = subject.partition(":")
        found = importlib.import_module(module)
        for part in qualname.split(".") if qualname else ():
            found = getattr(found, part)
        return found

    def _keep(self, value: Any) -> int:
        self._kept.append(value)
        return len(self._kept) - 1

    def locate(self, error: BaseException) -> list[Any]:
        """Return file and line of the learner's code where *error* arose, or nothing."""
        own = set(self._files.values())
        frames = [[frame.filename, frame.lineno] for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
        if isinstance(error, SyntaxError) and error.filename in own:
            frames = [[error.filename, error.lineno]]
        return frames[-1] if frames else []


def main() -> None:
    """Serve until standard input ends."""
    requests = os.fdopen(os.dup(0), encoding="ascii")
    channel = os.fdopen(os.dup(1), "w", encoding="ascii")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a learner's `input()` must not eat requests
    os.close(nothing)
    os.dup2(2, 1)  # what is printed from here on is for people, and at once
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is the file that Python opened
    setup = json.loads(requests.readline())
    sys.path[:0] = [setup["root"]]

    def send(message: dict[str, Any]) -> None:
        channel.write(f"{setup['nonce']} {json.dumps(message)}\n")
        channel.flush()

    from chapters import wire  # noqa: F401  # ours, before the learner's code can put another in its place

    if setup["namespaces"]:
        enter_namespaces()
    limit_resources(setup["processes"])
    sys.meta_path.insert(0, LearnerFinder(setup["files"]))
    worker = Worker(setup["files"])
    try:
        send({"ready": worker.load(setup["targets"])})
    except BaseException as error:  # noqa: BLE001  # whatever the learner's module does when it is imported
        send({"failed": f"{type(error).__name__}: {error}", "where": worker.locate(error)})
        return
    for line in requests:
        send(worker.answer(json.loads(line)))


if __name__ == "__main__":
    main()
