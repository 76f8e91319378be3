"""One container through the Remote API: its life, its streams, its files. Acts. Chapter 14."""

from __future__ import annotations

import posixpath
from contextlib import suppress

from minidocker.client.fields import map_at, maps_at, number_at, text_at, value_at
from minidocker.client.frames import split_frames
from minidocker.client.progress import read_progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from minidocker.client.transport import Response, Stream, Transport
    from minidocker.spec.record import Json

__all__ = ["Attached", "Container", "Finished"]

STDOUT, STDERR = 1, 2


class Finished:
    """What a command that has ended left: its exit code and its output."""

    __slots__ = ("exit_code", "stderr", "stdout")

    def __init__(self, exit_code: int, stdout: bytes, stderr: bytes) -> None:
        """Keep them; a terminal's output is all *stdout*."""
        self.exit_code, self.stdout, self.stderr = exit_code, stdout, stderr

    def __repr__(self) -> str:
        """Show all three."""
        return f"Finished(exit_code={self.exit_code}, stdout={self.stdout!r}, stderr={self.stderr!r})"


class Attached:
    """The streams of a process: iterate for (1 or 2, bytes), `send` to its input, `half_close` to end that."""

    def __init__(self, stream: Stream, *, terminal: bool) -> None:
        """Take over *stream*; a process with a terminal has one output and no frames."""
        self._stream, self._terminal = stream, terminal

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield what is written, as it comes, until the process has closed its output."""
        pieces = iter(self._stream.receive, b"")
        return ((STDOUT, piece) for piece in pieces) if self._terminal else split_frames(pieces)

    def send(self, content: bytes) -> None:
        """Write to the process's standard input."""
        self._stream.send(content)

    def half_close(self) -> None:
        """End the process's standard input, and go on reading."""
        self._stream.half_close()

    def read(self, stdin: bytes = b"") -> tuple[bytes, bytes]:
        """Send *stdin*, end the input, and return everything written to stdout and stderr.

        A thread sends while this one reads: a process that answers before it has read all must not wait for us, who wait for it.
        """
        import threading

        sender = threading.Thread(target=self._send_all, args=(stdin,), daemon=True)
        sender.start()
        output = {STDOUT: bytearray(), STDERR: bytearray()}
        for number, piece in self:
            output[STDERR if number == STDERR else STDOUT] += piece
        with suppress(OSError):  # a server may end its own half and leave the rest of our input lying
            self._stream.abort()
        sender.join()
        return bytes(output[STDOUT]), bytes(output[STDERR])

    def _send_all(self, content: bytes) -> None:
        try:
            self.send(content)
            self.half_close()
        except OSError:  # it ended without reading all of it, as `head` does
            return

    def close(self) -> None:
        """Leave the process alone; it goes on."""
        self._stream.close()

    def __enter__(self) -> Attached:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()


class Container:
    """One container, known by its id; its state is asked for each time."""

    def __init__(self, api: Transport, identity: str) -> None:
        """Ask through *api*."""
        self._api, self.id = api, identity
        self._path = f"/containers/{identity}"

    def __repr__(self) -> str:
        """Show the short id."""
        return f"Container({self.id[:12]})"

    def _do(self, verb: str, query: Mapping[str, str] | None = None) -> None:
        self._api.call("POST", f"{self._path}/{verb}", dict(query or {})).read()

    def inspect(self) -> dict[str, Json]:
        """Return everything that the server knows of it."""
        return map_at(self._api.get(f"{self._path}/json"))

    def start(self) -> None:
        """Start it; one that runs goes on."""
        self._do("start")

    def stop(self, *, timeout_s: int | None = None) -> None:
        """Ask it to end, and kill it when *timeout_s* is over (by default its own, or ten seconds)."""
        self._do("stop", {"t": str(timeout_s)} if timeout_s is not None else None)

    def restart(self, *, timeout_s: int | None = None) -> None:
        """Stop and start it."""
        self._do("restart", {"t": str(timeout_s)} if timeout_s is not None else None)

    def kill(self, signal: str = "KILL") -> None:
        """Send a signal to its first process."""
        self._do("kill", {"signal": signal})

    def pause(self) -> None:
        """Freeze all of its processes."""
        self._do("pause")

    def unpause(self) -> None:
        """Let them go on."""
        self._do("unpause")

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._do("rename", {"name": name})

    def update(self, **limits: Json) -> None:
        """Change limits while it runs: `Memory=64 << 20`, `RestartPolicy={"Name": "always"}`."""
        self._api.post(f"{self._path}/update", None, limits)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it, and with *volumes* its anonymous volumes; *force* kills it first."""
        self._api.call("DELETE", self._path, {"force": str(int(force)), "v": str(int(volumes))}).read()

    def begin_wait(self, condition: str = "not-running") -> Response:
        """Ask to be told when it ends, without waiting: the answer's `json()` waits. Before `start`, so that a short life is not missed."""
        return self._api.open("POST", f"{self._path}/wait", {"condition": condition})

    def wait(self, condition: str = "not-running") -> int:
        """Wait until it is `not-running`, for its `next-exit`, or until it is `removed`; return its exit code."""
        return number_at(self.begin_wait(condition).json(), "StatusCode")

    def attach(self, *, stdin: bool = False, logs: bool = False) -> Attached:
        """Connect with its streams; with *logs* what it has written so far comes first."""
        terminal = bool(value_at(self.inspect(), "Config", "Tty"))
        query: dict[str, str | list[str]] = {"stream": "1", "stdout": "1", "stderr": "1", "stdin": str(int(stdin)), "logs": str(int(logs))}
        return Attached(self._api.hijack(f"{self._path}/attach", query), terminal=terminal)

    def logs(self, *, follow: bool = False, tail: str = "all", since: str = "", until: str = "", timestamps: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield (1 or 2, bytes) of what it has written, and with *follow* of what it goes on to write."""
        query: dict[str, str | list[str]] = {
            "stdout": "1", "stderr": "1", "follow": str(int(follow)), "timestamps": str(int(timestamps)), "tail": tail,
            **({"since": since} if since else {}), **({"until": until} if until else {}),
        }  # fmt: skip
        terminal = bool(value_at(self.inspect(), "Config", "Tty"))
        pieces = self._api.open("GET", f"{self._path}/logs", query).iterate()
        return ((STDOUT, piece) for piece in pieces) if terminal else split_frames(pieces)

    def exec(self, command: Sequence[str], *, input: bytes = b"", environment: Mapping[str, str] | None = None, **settings: Json) -> Finished:
        """Run another command in it to its end; *settings* are the API's: `User="nobody"`, `WorkingDir="/tmp"`."""
        identity, attached = self.open_exec(command, environment=environment, stdin=bool(input), **settings)  # type: ignore[arg-type]  # the API's names are none of ours
        with attached:
            stdout, stderr = attached.read(input)
        return Finished(number_at(self._api.get(f"/exec/{identity}/json"), "ExitCode"), stdout, stderr)

    def open_exec(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, tty: bool = False, stdin: bool = False, **settings: Json
    ) -> tuple[str, Attached]:
        """Start another command in it; return its id (for `/exec/ID/json`) and its streams."""
        variables: list[Json] = [f"{key}={value}" for key, value in (environment or {}).items()]
        body: dict[str, Json] = {"Cmd": [*command], "Env": variables, "Tty": tty, "AttachStdin": stdin, "AttachStdout": True, "AttachStderr": True}
        identity = text_at(self._api.post(f"{self._path}/exec", None, body | settings), "Id")
        return identity, Attached(self._api.hijack(f"/exec/{identity}/start", None, {"Detach": False, "Tty": tty}), terminal=tty)

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal how large it is."""
        self._do("resize", {"h": str(rows), "w": str(columns)})

    def stats(self, *, stream: bool = True) -> Iterator[Json]:
        """Yield what it uses, once a second, or once."""
        return read_progress(self._api.open("GET", f"{self._path}/stats", {"stream": str(int(stream))}).lines())

    def top(self) -> dict[str, Json]:
        """Return its processes, as `ps` shows them."""
        return map_at(self._api.get(f"{self._path}/top"))

    def changes(self) -> list[dict[str, Json]]:
        """Return which files differ from its image's."""
        return maps_at(self._api.get(f"{self._path}/changes"))

    def commit(self, repository: str = "", tag: str = "", *, message: str = "", changes: Sequence[str] = ()) -> str:
        """Make an image of its files, and return the image's id."""
        query: dict[str, str | list[str]] = {"container": self.id, "repo": repository, "tag": tag, "comment": message, "changes": [*changes]}
        return text_at(self._api.post("/commit", query), "Id")

    def export(self) -> Iterator[bytes]:
        """Yield a tar archive of all its files."""
        return self._api.open("GET", f"{self._path}/export").iterate()

    def read_archive(self, path: str) -> Iterator[bytes]:
        """Yield a tar archive of the file or directory at *path*."""
        return self._api.open("GET", f"{self._path}/archive", {"path": path}).iterate()

    def write_archive(self, directory: str, pieces: Iterable[bytes]) -> None:
        """Unpack a tar archive in a directory of its."""
        self._api.open("PUT", f"{self._path}/archive", {"path": directory}, pieces, content_type="application/x-tar").read()

    def copy_in(self, local_path: str, directory: str) -> None:
        """Copy a file or directory of this machine into one of its directories."""
        from minidocker.client.local_files import pack

        self.write_archive(directory, pack(local_path, posixpath.basename(local_path.replace("\\", "/").rstrip("/"))))

    def copy_out(self, path: str, local_directory: str) -> None:
        """Copy a file or directory of its into one of this machine."""
        from minidocker.client.local_files import PieceReader, unpack
        from minidocker.codec.tar import TarReader

        name, content = posixpath.basename(path.rstrip("/")), PieceReader(self.read_archive(path))
        unpack(TarReader(content), local_directory, old_name=name, new_name=name)
        for _ in content:  # what stands behind the end of the archive
            pass
