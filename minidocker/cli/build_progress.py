"""What a person sees of a build: one line for each step that changes, or on a terminal one that is rewritten.

Acts on the stream that it is given. Steps of stages that run side by side mix, so each line begins with the step's number (`#3`), as
BuildKit's plain output does; `--explain-cache` adds why a step was taken from the cache or not. Chapter 14.
"""

from __future__ import annotations

import sys

from minidocker.client.fields import number_at, text_at, value_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from minidocker.spec.record import Json

__all__ = ["JsonProgress", "PlainProgress", "TerminalProgress"]


class PlainProgress:
    """Lines that stay."""

    def __init__(self, out: TextIO, *, explain: bool) -> None:
        """Write to *out*; *explain* says why each step hit or missed the cache."""
        self.out, self.explain = out, explain
        self._numbers: dict[tuple[int, int], int] = {}
        self._partial: dict[tuple[int, int], str] = {}

    def number_of(self, event: Json) -> int:
        """Return the number of the step that *event* is about, a new one for a new step."""
        return self._numbers.setdefault(self._key(event), len(self._numbers) + 1)

    @staticmethod
    def _key(event: Json) -> tuple[int, int]:
        return number_at(event, "stage"), number_at(event, "number")

    def name_of(self, event: Json) -> str:
        """Return what the step is called: `[builder 2/5]`."""
        title = text_at(event, "title")
        place = f"{number_at(event, 'number')}/{number_at(event, 'count')}"
        return f"[{place}]" if title.startswith("stage-") else f"[{title} {place}]"

    def show(self, event: Json) -> None:
        """Take one event."""
        kind, text = text_at(event, "kind"), text_at(event, "text")
        if kind == "note":
            self._write(text.rstrip("\n"))
        elif kind == "started":
            self._write(f"#{self.number_of(event)} {self.name_of(event)} {text}")
        elif kind == "output":
            self._show_output(event, text)
        elif kind in ("cached", "done", "failed"):
            self._end(event, kind, text)

    def _show_output(self, event: Json, text: str) -> None:
        key = self._key(event)
        *lines, self._partial[key] = (self._partial.get(key, "") + text).split("\n")
        for line in lines:
            self._write(f"#{self.number_of(event)} {line}")

    def _end(self, event: Json, kind: str, text: str) -> None:
        number = self.number_of(event)
        rest = self._partial.pop(self._key(event), "")
        if rest:
            self._write(f"#{number} {rest}")
        if kind == "failed":
            self._write("\n".join(f"#{number} ERROR: {line}" if place == 0 else f"#{number} {line}" for place, line in enumerate(text.split("\n"))))
            return
        seconds = value_at(event, "seconds")
        self._write(f"#{number} CACHED" if kind == "cached" else f"#{number} DONE {seconds if isinstance(seconds, float) else 0.0:.1f}s")
        if self.explain and text_at(event, "why"):
            self._write(f"#{number} cache {text_at(event, 'why')}")

    def _write(self, line: str) -> None:
        self.out.write(line + "\n")
        self.out.flush()

    def finish(self) -> None:
        """The build has ended."""


class TerminalProgress(PlainProgress):
    """A terminal: finished steps stay as one line, the output of what runs is one line that is rewritten."""

    def __init__(self, out: TextIO, *, explain: bool, columns: int) -> None:
        """Write to *out*, which has *columns*."""
        super().__init__(out, explain=explain)
        self._columns = max(columns, 20)
        self._has_line = False
        self._texts: dict[tuple[int, int], str] = {}

    def show(self, event: Json) -> None:
        """Take one event."""
        kind, text, key = text_at(event, "kind"), text_at(event, "text"), self._key(event)
        if kind == "started":
            self._texts[key] = f"{self.name_of(event)} {text}"
            self._rewrite(f" => {self._texts[key]}")
        elif kind == "output":
            last = text.rstrip("\r\n").rpartition("\n")[2].replace("\r", " ")
            self._rewrite(f" => => {last}")
        elif kind in ("cached", "done"):
            seconds = value_at(event, "seconds")
            ended = "CACHED" if kind == "cached" else f"{seconds if isinstance(seconds, float) else 0.0:.1f}s"
            self._clear()
            self._write(f" => {self._cut(self._texts.get(key, ''), len(ended) + 6)}  {ended}")
            if self.explain and text_at(event, "why"):
                self._write(f" => => cache {text_at(event, 'why')}")
        elif kind in ("failed", "note"):
            self._clear()
            self._write(f" => ERROR {self._texts.get(key, '')}\n{text}" if kind == "failed" else text.rstrip("\n"))

    def _cut(self, text: str, reserved: int = 0) -> str:
        room = self._columns - reserved - 1
        return text if len(text) <= room else text[: max(room - 1, 0)] + "…"

    def _rewrite(self, text: str) -> None:
        self.out.write(f"\r\x1b[2K{self._cut(''.join(c if c.isprintable() else ' ' for c in text))}")
        self.out.flush()
        self._has_line = True

    def _clear(self) -> None:
        if self._has_line:
            self.out.write("\r\x1b[2K")
            self._has_line = False

    def finish(self) -> None:
        """Leave nothing half-written on the screen."""
        self._clear()
        self.out.flush()


class JsonProgress:
    """One JSON object a line, for programs."""

    def __init__(self, out: TextIO) -> None:
        """Write to *out*."""
        self._out = out

    def show(self, event: Json) -> None:
        """Take one event."""
        import json

        self._out.write(json.dumps(event) + "\n")
        self._out.flush()

    def finish(self) -> None:
        """The build has ended."""


def choose_progress(kind: str, *, explain: bool) -> PlainProgress | JsonProgress:
    """Return what shows a build in the way that `--progress` asks for; `auto` is a terminal's where there is one."""
    if kind in ("json", "rawjson"):
        return JsonProgress(sys.stderr)
    if kind in ("auto", "tty", "") and sys.stderr.isatty():
        import os

        return TerminalProgress(sys.stderr, explain=explain, columns=os.get_terminal_size(2).columns)
    return PlainProgress(sys.stderr, explain=explain)
