"""The parent's end of a worker: start it, call functions in it, and believe nothing but the values that come back.

Rule: a worker that dies, hangs, floods or talks out of turn is a failure with a sentence, never a success. It gets a clean
environment, an empty directory, its own process group (killed as a whole), and a limit on the time of each call. How it is kept in
is the caller's choice: in a container (`chapters.confine`), as a user of its own where no container can be made, or by limits alone.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from chapters import wire
from chapters.manifest import BOOK, CHECKOUT, Target

__all__ = ["CONTAINER", "PROCESS", "USER", "Remote", "Sandbox", "SubmissionError"]

CONTAINER, USER, PROCESS = "container", "user", "process"
"""How a worker is kept in, the strongest first."""
FIRST_UID = 1_000_000_000
"""A worker that is a user of its own is one from here on: nobody else owns files, processes or limits under such a number."""
SYSTEM_PYTHON = "/usr/bin/python3"
MAX_PROCESSES = 16
WORKER_FILES = ("__init__.py", "worker.py", "wire.py")

COMPUTING_LIMIT_S = 1.0
"""Processor time of one call; the functions of this book take milliseconds."""
START_LIMIT_S = 60.0
MAX_ANSWER_BYTES = 16 << 20
SHOWN_OUTPUT_BYTES = 2000


class SubmissionError(Exception):
    """The learner's code gave no answer that can be judged: one sentence says why."""


class Remote:
    """Something of the learner's that stays in the worker: its attributes are asked for and its methods called there."""

    def __init__(self, sandbox: Sandbox, subject: int | str, kind: str) -> None:
        """Stand for *subject*, a number or a name of the worker's."""
        self._sandbox, self._subject, self._kind = sandbox, subject, kind

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in the worker."""
        return self._sandbox.ask("call", self._subject, args=args, kwargs=kwargs)

    def __getattr__(self, name: str) -> Any:
        """Ask for an attribute."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self._sandbox.ask("get", self._subject, name=name)

    def __iter__(self) -> Any:
        """Go through all it has."""
        return iter(self._sandbox.ask("list", self._subject))

    def __enter__(self) -> Any:
        """Enter it, as `with` does."""
        return self._sandbox.ask("get", self._subject, name="__enter__")()

    def __exit__(self, *_error: object) -> None:
        """Leave it; an error inside the block is the test's and stays here."""
        self._sandbox.ask("get", self._subject, name="__exit__")(None, None, None)

    def __repr__(self) -> str:
        """Say what it is without asking the worker."""
        return f"<{self._kind} in the learner's process>"


class Sandbox:
    """One worker and the pipe to it."""

    def __init__(
        self, files: Mapping[str, Path], targets: tuple[Target, ...], *, limit_s: float = 10.0, namespaces: bool = False, cache: Path | None = None,
        isolation: str = PROCESS,
    ) -> None:  # fmt: skip
        """Start a worker and load *files* (module → the learner's copy) in it, kept in as *isolation* says.

        Raises:
            SubmissionError: the files cannot be loaded, or a target was loaded from elsewhere.
        """
        self._limit_s = limit_s
        self.calls: dict[str, int] = {}
        self._printed = ""
        self._directory = tempfile.mkdtemp(prefix="minidocker-exercise-")
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this object
        self._nonce = secrets.token_hex(16)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        options = ["-X", f"pycache_prefix={cache}"] if cache else []
        self._uid = FIRST_UID + secrets.randbelow(1 << 28) if isolation == USER else 0
        root, places, program, directory = str(CHECKOUT), {module: str(path) for module, path in files.items()}, BOOK / "worker.py", self._directory
        python, arguments = sys.executable, []
        if isolation == CONTAINER:
            root, places, program = "/checkout", _number_places("/submission", files), BOOK / "confine.py"
            arguments = [self._describe(files, places)]
        elif isolation == USER:
            root, directory = f"{self._directory}/checkout", f"{self._directory}/home"
            places, program, python = _number_places(f"{self._directory}/submission", files), Path(root, "chapters/worker.py"), _public_python()
            self._lay_out(files, places)
        environment = {name: os.environ[name] for name in ("SYSTEMROOT", "PATH", "TMPDIR", "TEMP") if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [python, "-I", "-S", *options, str(program), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._output,
                cwd=directory, env=environment, start_new_session=True, user=self._uid or None, group=self._uid or None,
                extra_groups=[] if self._uid else None,
            )  # fmt: skip
        except OSError as error:
            self._output.close()
            shutil.rmtree(self._directory, ignore_errors=True)
            raise SubmissionError(f"the worker cannot be started: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._is_loaded = False
        try:
            self._load(root, places, targets, namespaces=namespaces)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The worker's process number: what a kernel exercise is looked at by."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can be called."""
        return self._process.poll() is None

    def _describe(self, files: Mapping[str, Path], places: Mapping[str, str]) -> str:
        """Return what `chapters.confine` has to know: where what lies, and which of our own files the submission must not read."""
        hidden = [name for path in _own_sources(files) for name in (path.as_posix(), (path.parent / "__pycache__").as_posix())]
        base = _base_python()
        return json.dumps(
            {
                "root": str(CHECKOUT), "directory": self._directory, "hidden": hidden, "number": secrets.randbelow(1 << 28), "python": base,
                "prefixes": [sys.base_prefix, os.path.dirname(base)], "options": [], "files": {places[m]: str(path) for m, path in files.items()},
            }
        )  # fmt: skip

    def _lay_out(self, files: Mapping[str, Path], places: Mapping[str, str]) -> None:
        """Put before another user what it may read: `minidocker` without our own source of *files*, the worker, the submission; and a home to write in."""
        hidden = {CHECKOUT / "minidocker" / path for path in _own_sources(files)}
        target = Path(self._directory, "checkout")
        shutil.copytree(
            CHECKOUT / "minidocker", target / "minidocker",
            ignore=lambda place, names: [name for name in names if name == "__pycache__" or Path(place, name) in hidden],
        )  # fmt: skip
        (target / "chapters").mkdir()
        for name in WORKER_FILES:
            shutil.copyfile(BOOK / name, target / "chapters" / name)
        for module, path in files.items():
            Path(places[module]).parent.mkdir(parents=True)
            shutil.copyfile(path, places[module])
        for folder, _, names in os.walk(self._directory):
            os.chmod(folder, 0o755)
            for name in names:
                os.chmod(Path(folder, name), 0o644)
        home = Path(self._directory, "home")
        home.mkdir()
        os.chown(home, self._uid, self._uid)

    def _load(self, root: str, files: Mapping[str, str], targets: tuple[Target, ...], *, namespaces: bool) -> None:
        setup = {"root": root, "nonce": self._nonce, "files": dict(files), "targets": [str(t) for t in targets]}
        self._send(setup | {"namespaces": namespaces, "processes": MAX_PROCESSES if self._uid else 0})
        answer = self._receive(START_LIMIT_S)
        if "ready" not in answer:
            raise SubmissionError(f"{_place(answer)}{answer.get('failed', 'the worker does not start')}")
        self._is_loaded = True
        for target in targets:
            if target.module in files and answer["ready"].get(str(target)) != files[target.module]:
                raise SubmissionError(f"`{target.qualname}` was not loaded from {os.path.basename(files[target.module])}: define it there, as a function of its own")

    def ask(self, do: str, subject: int | str, *, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None, name: str = "") -> Any:
        """Have the worker do something with *subject* and return what comes of it, or raise what it raised.

        Raises:
            SubmissionError: no answer that can be judged.
        """
        keep = self._keep_remote
        request = {"do": do, "subject": subject, "name": name, "computing_s": min(self._limit_s, COMPUTING_LIMIT_S), "args": wire.encode(list(args), keep), "kwargs": wire.encode(dict(kwargs or {}), keep)}
        self._send(request)
        answer = self._receive(self._limit_s)
        if isinstance(answer.get("calls"), dict):
            self.calls = {str(key): int(count) for key, count in answer["calls"].items()}
        if "endless" in answer:
            self.close()
            raise SubmissionError(f"{_place({'where': answer['endless']})}still computing after {COMPUTING_LIMIT_S:g} seconds: a loop that never ends?")
        if "raised" in answer:
            raise self._rebuild(answer)
        if "value" not in answer:
            raise SubmissionError(str(answer.get("unfit", "the worker's answer cannot be understood")))
        try:
            return wire.decode(answer["value"], lambda number, kind: Remote(self, number, kind))
        except wire.WireError as error:
            raise SubmissionError(f"what was returned is no value that this book knows: {error}") from error

    def _keep_remote(self, value: Any) -> int:
        if isinstance(value, Remote) and isinstance(value._subject, int) and value._sandbox is self:
            return value._subject
        raise wire.WireError(f"a `{type(value).__name__}` cannot travel to the learner's code: give it plain values, or records of minidocker")

    def _rebuild(self, answer: dict[str, Any]) -> BaseException:
        try:
            error = wire.decode_error(answer["raised"])
            told = f"{answer['raised']['type'].rpartition(':')[2]}: {answer['raised']['text']}"
        except (KeyError, TypeError, ValueError, AttributeError, wire.WireError):
            return SubmissionError("the worker's answer cannot be understood")
        error = error or SubmissionError(f"{_place(answer)}{told}")
        if _place(answer):
            error.add_note(f"raised in {_place(answer).rstrip(': ')}")
        return error

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin
        with suppress(OSError, ValueError):  # a worker that has ended cannot be told; the missing answer says so
            self._process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        """Pass on the worker's lines; runs in a thread, because Windows cannot wait for a pipe with a limit."""
        assert self._process.stdout
        with suppress(OSError, ValueError):  # closed under our hands at the end
            while line := self._process.stdout.readline(MAX_ANSWER_BYTES):
                self._lines.put(line)
        self._lines.put(b"")

    def _receive(self, limit_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self.close()
            raise SubmissionError(f"no answer within {limit_s:g} seconds: a loop that never ends?") from None
        if not line:
            status = self._end()
            if not self._is_loaded and "chapters/confine.py" in self._printed:
                raise SubmissionError(f"the worker's container cannot be made: {self._printed.rstrip().splitlines()[-1]}")
            raise SubmissionError(f"the program was ended from within ({status}) before the function returned: return a value instead")
        nonce, _, text = line.partition(b" ")
        try:
            if not secrets.compare_digest(nonce, self._nonce.encode()):
                raise ValueError("another word")
            message = json.loads(text)
            if not isinstance(message, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError):
            self.close()
            raise SubmissionError("something else than the function's answer came out of the learner's process") from None
        return message

    def _end(self) -> str:
        """Wait for a worker that has closed its pipe, and say how it ended."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            status = -9
        self.close()
        return f"by signal {-status}" if status < 0 else f"with exit status {status}"

    def read_output(self) -> str:
        """Return the end of what the learner's code printed."""
        if not self._output.closed:
            size = self._output.seek(0, os.SEEK_END)
            self._output.seek(max(0, size - SHOWN_OUTPUT_BYTES))
            self._printed = self._output.read().decode(errors="replace")
        return self._printed

    def close(self) -> None:
        """End the worker and all its children, and remove its directory."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        if self._uid >= FIRST_UID:  # its children, wherever they went: as this user one can reach them all, and nobody else
            subprocess.run([_public_python(), "-I", "-S", "-c", _END_ALL, str(self._uid)], user=self._uid, group=self._uid, extra_groups=[], check=False)
        self.read_output()
        self._output.close()
        self._reader.join(timeout=5)  # a grandchild that left the group may still hold the pipe; then the thread stays, and sleeps
        for pipe in (self._process.stdin, None if self._reader.is_alive() else self._process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()
        shutil.rmtree(self._directory, ignore_errors=True)


_END_ALL: Final = "import os, sys\nif os.getresuid() == (int(sys.argv[1]),) * 3:\n    os.kill(-1, 9)"


def _base_python() -> str:
    """Return the interpreter itself, without the environment that was made around it."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _public_python() -> str:
    """Return an interpreter that every user may run: ours, if it lies in nobody's home, else the system's."""
    own = Path(_base_python())
    return str(own) if all(place.stat().st_mode & stat.S_IXOTH for place in (own, *own.parents)) else SYSTEM_PYTHON


def _number_places(root: str, files: Mapping[str, Path]) -> dict[str, str]:
    return {module: f"{root}/{number}/{path.name}" for number, (module, path) in enumerate(files.items())}


def _own_sources(modules: Iterable[str]) -> list[Path]:
    """Return where below `minidocker` our own source of each module lies."""
    return [Path(*package, f"{module}.py") for *package, module in (name.split(".")[1:] for name in modules)]


def _place(answer: Mapping[str, Any]) -> str:
    where = answer.get("where")
    return f"{os.path.basename(str(where[0]))}, line {where[1]}: " if isinstance(where, list) and len(where) == 2 else ""
