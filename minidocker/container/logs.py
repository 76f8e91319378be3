r"""The json-file log: one JSON object a line, `{"log": "text\n", "stream": "stdout", "time": "…"}`.

`LogWriter` is the monitor's: it cuts output into lines (at most 16 KiB each, as Docker does), stamps and appends them, and
rotates. `decode_log_line` is its inverse; `find_tail_offset` looks for the last lines from the end. A crash can leave half a line at the end of the
file: readers skip what does not parse. Chapter 7.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

__all__ = ["LogEntry", "LogWriter", "decode_log_line", "find_tail_offset", "format_time", "read_entries"]

MAX_LINE_BYTES: Final = 16 * 1024
"""Where Docker cuts a line that does not end."""
_STREAM_NAMES: Final = {1: "stdout", 2: "stderr"}
_STREAM_NUMBERS: Final = {"stdout": 1, "stderr": 2}
_BLOCK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of output."""

    text: bytes
    stream: int
    """1 stdout, 2 stderr."""
    time: str
    """RFC 3339 with nanoseconds, UTC."""


def format_time(time_ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 with nine digits, as Go prints them."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


class LogWriter:
    """Appends a container's output to its log file."""

    def __init__(self, path: str, *, max_bytes: int = 0, max_files: int = 1) -> None:
        """Open *path*; rotate when it exceeds *max_bytes* (0: never), keeping *max_files* in all."""
        self._path, self._max_bytes, self._max_files = path, max_bytes, max_files
        self._partial: dict[int, bytes] = {}
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: int, data: bytes) -> None:
        """Append the complete lines of *data*; the rest waits for its end."""
        data = self._partial.pop(stream, b"") + data
        lines = data.splitlines(keepends=True) if b"\r" not in data else _split_at_newlines(data)
        if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < MAX_LINE_BYTES:
            self._partial[stream] = lines.pop()
        self._append(stream, lines)

    def close(self) -> None:
        """Append what has no line end, and close."""
        for stream, rest in sorted(self._partial.items()):
            self._append(stream, [rest])
        self._partial.clear()
        os.close(self._fd)

    def _append(self, stream: int, lines: list[bytes]) -> None:
        if not lines:
            return
        tail = f',"stream":"{_STREAM_NAMES[stream]}","time":"{format_time(time.time_ns())}"}}\n'
        parts = (line[i : i + MAX_LINE_BYTES] for line in lines for i in range(0, len(line), MAX_LINE_BYTES))
        content = "".join(f'{{"log":{json.dumps(part.decode("utf-8", "replace"), ensure_ascii=False)}{tail}' for part in parts)
        with suppress(OSError):  # a full disk costs log lines, never the container
            self._size += os.write(self._fd, content.encode())
        if self._max_bytes and self._size > self._max_bytes:
            self._rotate()

    def _rotate(self) -> None:
        os.close(self._fd)
        with suppress(OSError):  # rotation is a comfort; on failure the file goes on growing
            for number in range(self._max_files - 1, 0, -1):
                older = self._path if number == 1 else f"{self._path}.{number - 1}"
                with suppress(FileNotFoundError):
                    os.replace(older, f"{self._path}.{number}")
            if self._max_files == 1:
                os.truncate(self._path, 0)
        self._open()


def _split_at_newlines(data: bytes) -> list[bytes]:
    r"""Split after each `\n` only: `splitlines` also cuts at `\\r`, which terminals print without an end of line."""
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def decode_log_line(line: bytes) -> LogEntry | None:
    """Return the entry that *line* holds, or None for a torn line."""
    try:
        document = json.loads(line)
        return LogEntry(
            text=document["log"].encode("utf-8", "surrogateescape"), stream=_STREAM_NUMBERS[document["stream"]],
            time=document["time"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def read_entries(fd: int, *, offset: int = 0) -> Iterator[tuple[LogEntry, int]]:
    """Yield each complete entry from *offset* to the present end, with the offset after it."""
    rest = b""
    while block := os.pread(fd, _BLOCK_BYTES, offset + len(rest)):
        *lines, rest_after = (rest + block).split(b"\n")
        for line in lines:
            offset += len(line) + 1
            entry = decode_log_line(line)
            if entry is not None:
                yield entry, offset
        rest = rest_after


def find_tail_offset(fd: int, *, lines: int) -> int:
    """Return where the last *lines* lines of the file begin, reading backwards in blocks."""
    position, found = os.fstat(fd).st_size, 0
    if lines == 0:
        return position
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        block = os.pread(fd, position - start, start)
        for index in range(len(block) - 1, -1, -1):
            if block[index] == 0x0A:
                found += 1
                if found == lines + 1:
                    return start + index + 1
        position = start
    return 0
