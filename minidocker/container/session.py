"""Sessions: one process in the container with its standard streams, and the clients that are attached to it.

The monitor's working parts. A session drains the process's output for as long as it lives, whether anybody listens or
not, logs it, and copies it to every client; a client that does not read holds the output back once a megabyte waits for
it, which in turn holds the process back (a pipe is full): nothing is dropped, as in Docker.

A client is the *socket of a Docker client*: the server has written the HTTP header and handed the descriptor over. Output
to it is framed (stream, 0, 0, 0, length, payload) unless it said that it has a terminal. Chapter 16.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from minidocker.container.logs import LogWriter
from minidocker.kernel.terminal import set_window_size

__all__ = ["Client", "Session", "Watch", "parse_detach_keys"]

Watch = selectors.BaseSelector
"""The monitor's event loop; each key's data is a function that takes the ready mask."""

READ_BYTES: Final = 64 * 1024
MAX_WAITING_BYTES: Final = 1 << 20
"""How much output may wait for one slow client before the process is held back."""
_MAX_LAST_READS: Final = 32
"""A pipe holds 64 KiB to 1 MiB; a background process that keeps on writing must not keep the session open."""
_CONTROL_KEYS: Final = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
DEFAULT_DETACH_KEYS: Final = "ctrl-p,ctrl-q"


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of a key sequence such as `ctrl-p,ctrl-q`; unknown words give an empty sequence."""
    keys = bytearray()
    for word in (text or DEFAULT_DETACH_KEYS).split(","):
        letter = word.removeprefix("ctrl-")
        if len(letter) != 1:
            return b""
        keys.append(ord(letter) if letter == word else _CONTROL_KEYS.get(letter, ord(letter.lower()) & 0x1F))
    return bytes(keys)


class Client:
    """One attached client."""

    def __init__(
        self, fd: int, watch: Watch, *, session: Session, stdin: bool, streams: Iterable[int], keys: str, framed: bool
    ) -> None:
        """Take ownership of *fd*; copy *streams* to it, in frames if *framed*, and its input to the session if *stdin*."""
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._watch, self._session = watch, session
        self.streams = frozenset(streams)
        self._framed = framed
        self._reads = stdin
        self._reads_now = True
        self._keys, self._matched = parse_detach_keys(keys) if session.tty else b"", 0
        self._waiting = bytearray()
        self._ending = False
        self.closed = False
        watch.register(self._socket, selectors.EVENT_READ, self._on_ready)

    @property
    def overloaded(self) -> bool:
        """Whether so much waits for this client that the process has to wait too."""
        return len(self._waiting) > MAX_WAITING_BYTES

    @property
    def idle(self) -> bool:
        """Whether everything has been sent."""
        return self.closed or not self._waiting

    def send(self, stream: int, data: bytes) -> None:
        """Queue output of one stream, framed if the client expects it."""
        if self.closed or stream not in self.streams:
            return
        if self._framed:
            self._waiting += bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big")
        self._waiting += data
        self._flush()

    def end(self) -> None:
        """No more output comes: half-close once everything is sent; the client waits for that."""
        self._ending = True
        self._flush()

    def pause_input(self, paused: bool) -> None:
        """Stop or resume reading the client's input."""
        self._reads_now = not paused
        self._update()

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            pass  # the rest goes when the socket becomes writable
        except OSError:
            self.close()
            return
        if self._ending and not self._waiting:
            with suppress(OSError):  # the client may have gone first
                self._socket.shutdown(socket.SHUT_WR)
            self.close()
        elif not self.closed:
            self._update()

    def _update(self) -> None:
        if self.closed:
            return
        mask = (selectors.EVENT_WRITE if self._waiting else 0) | (selectors.EVENT_READ if self._reads_now else 0)
        if mask:
            try:
                self._watch.modify(self._socket, mask, self._on_ready)
            except KeyError:
                self._watch.register(self._socket, mask, self._on_ready)
        else:
            with suppress(KeyError):  # not registered: nothing to stop
                self._watch.unregister(self._socket)

    def _on_ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and not self.closed:
            self._read()
        self._session.adjust_flow()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not data:
            self._reads_now = False  # half-closed: its input has ended, its output goes on
            self._update()
            if self._reads:
                self._session.end_input()
            return
        if self._reads:
            kept, detached = self._strip_detach_keys(data)
            self._session.write_input(kept)
            if detached:
                self.close()

    def _strip_detach_keys(self, data: bytes) -> tuple[bytes, bool]:
        """Hold a beginning key sequence back; return what goes to the process and whether the sequence is complete."""
        if not self._keys:
            return data, False
        kept = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(kept), True
                continue
            kept += self._keys[: self._matched]
            self._matched = int(byte == self._keys[0])
            if not self._matched:
                kept.append(byte)
        return bytes(kept), False

    def close(self) -> None:
        """Let the client go; the session goes on."""
        if not self.closed:
            self.closed = True
            with suppress(KeyError):  # nothing was being waited for
                self._watch.unregister(self._socket)
            self._socket.close()
            self._session.forget(self)


class Session:
    """A process, its streams, its clients."""

    def __init__(self, name: str, watch: Watch, *, tty: bool, log: LogWriter | None, close_input_on_eof: bool) -> None:
        """Begin without a process; `connect` gives it streams."""
        self.name, self.tty, self.pid = name, tty, 0
        self.clients: list[Client] = []
        self._watch, self._log, self._close_input_on_eof = watch, log, close_input_on_eof
        self._outputs: dict[int, int] = {}
        self._input_fd = -1
        self._input_waiting = bytearray()
        self._input_ended = False
        self._input_is_full = False
        self._held_back = False

    def connect(self, *, input_fd: int, outputs: dict[int, int]) -> None:
        """Take ownership of the process's streams, all different: *outputs* maps descriptors to stream numbers."""
        self._input_fd, self._outputs = input_fd, dict(outputs)
        for fd in {input_fd, *outputs} - {-1}:
            os.set_blocking(fd, False)
        for fd, stream in outputs.items():
            self._watch.register(fd, selectors.EVENT_READ, self._output_handler(fd, stream))
        if self._input_waiting or self._input_ended:
            self._flush_input()

    def _output_handler(self, fd: int, stream: int) -> Callable[[int], None]:
        def on_ready(_mask: int) -> None:
            if not self._copy_output(fd, stream):
                self._close_output(fd)

        return on_ready

    def _copy_output(self, fd: int, stream: int) -> bool:
        """Copy what is there; return False at the end of the stream (EIO is how a terminal says it)."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            self.broadcast(stream, data)
        return bool(data)

    def broadcast(self, stream: int, data: bytes) -> None:
        """Log *data* and send it to every client."""
        if self._log is not None:
            self._log.write(stream, data)
        for client in list(self.clients):
            client.send(stream, data)
        self.adjust_flow()

    def adjust_flow(self) -> None:
        """Stop reading output while a client is overloaded; go on when none is."""
        overloaded = any(client.overloaded for client in self.clients)
        if overloaded == self._held_back:
            return
        self._held_back = overloaded
        for fd, stream in self._outputs.items():
            if overloaded:
                self._watch.unregister(fd)
            else:
                self._watch.register(fd, selectors.EVENT_READ, self._output_handler(fd, stream))

    def _close_output(self, fd: int) -> None:
        if self._outputs.pop(fd, None) is not None:
            with suppress(KeyError):  # held back just now
                self._watch.unregister(fd)
            os.close(fd)

    def write_input(self, data: bytes) -> None:
        """Pass *data* to the process, or keep it until there is one."""
        self._input_waiting += data
        self._flush_input()

    def end_input(self) -> None:
        """A client's input has ended: close the process's stdin if it was made for one client."""
        if self._close_input_on_eof and not self.tty:
            self._input_ended = True
            self._flush_input()

    def _flush_input(self) -> None:
        if self._input_fd < 0:
            return
        try:
            while self._input_waiting:
                del self._input_waiting[: os.write(self._input_fd, self._input_waiting)]
        except BlockingIOError:
            self._wait_for_input_space()
            return
        except OSError:  # the process closed its stdin: what is left is for nobody
            self._input_waiting.clear()
        self._input_has_space()
        if self._input_ended and not self._input_waiting:
            self._close_input()

    def _wait_for_input_space(self) -> None:
        """Stop reading from clients until the process has read."""
        if not self._input_is_full:
            self._input_is_full = True
            self._watch.register(self._input_fd, selectors.EVENT_WRITE, lambda _mask: self._flush_input())
            for client in self.clients:
                client.pause_input(True)

    def _input_has_space(self) -> None:
        if self._input_is_full:
            self._input_is_full = False
            self._watch.unregister(self._input_fd)
            for client in list(self.clients):
                client.pause_input(False)

    def _close_input(self) -> None:
        if self._input_fd >= 0:
            os.close(self._input_fd)
            self._input_fd = -1

    def resize(self, *, rows: int, columns: int) -> None:
        """Set the window size of the session's terminal, if it has one."""
        for fd in self._outputs if self.tty else ():
            set_window_size(fd, rows=rows, columns=columns)

    def finish(self) -> None:
        """The process has ended: copy what it left in its pipes, then close everything."""
        self._input_has_space()
        for fd, stream in list(self._outputs.items()):
            for _ in range(_MAX_LAST_READS):
                if not (self._readable(fd) and self._copy_output(fd, stream)):
                    break
            self._close_output(fd)
        self._close_input()
        if self._log is not None:
            self._log.close()
        for client in list(self.clients):
            client.end()

    @staticmethod
    def _readable(fd: int) -> bool:
        with selectors.PollSelector() as poll:
            poll.register(fd, selectors.EVENT_READ)
            return bool(poll.select(0))

    def forget(self, client: Client) -> None:
        """Remove a client that has gone."""
        if client in self.clients:
            self.clients.remove(client)
        self.adjust_flow()
