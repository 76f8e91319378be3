"""`stats`: what containers use, as a table that is drawn again and again. Acts.

One thread reads the stream of each container and keeps the last object; the main thread draws. The formulas are Docker's: processor
time against the machine's between two looks, times the processors; memory without the file cache that could go at once. They are
pure functions, because people compare these numbers with `top` and ask where they come from. Chapter 14.
"""

from __future__ import annotations

import sys

from minidocker.cli.command import Command
from minidocker.client.fields import list_at, map_at, maps_at, number_at, text_at
from minidocker.cli.flags import BOOL, STRING, Flag
from minidocker.cli.table import render_list
from minidocker.cli.units import render_binary_size, render_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.client.transport import Transport
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.cli.template import Value
    from minidocker.spec.record import Json

__all__ = ["STATS", "compute_cpu_percent", "compute_memory_bytes", "stats_row"]

REDRAW_S = 0.5
"""How often the table is drawn; the server sends a look each second."""
CLEAR_LINE, CLEAR_BELOW, HOME = "\033[K", "\033[J", "\033[H"
UNKNOWN = "--"
HEADERS = {
    "Container": "CONTAINER", "Name": "NAME", "ID": "CONTAINER ID", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
}  # fmt: skip
SHOWN = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
SHORT_ID = 12


def compute_cpu_percent(look: Json) -> float:
    """Return how much of one processor the container used between the two looks of *look*, in percent."""
    now, before = map_at(look, "cpu_stats"), map_at(look, "precpu_stats")
    used = number_at(now, "cpu_usage", "total_usage") - number_at(before, "cpu_usage", "total_usage")
    passed = number_at(now, "system_cpu_usage") - number_at(before, "system_cpu_usage")
    processors = number_at(now, "online_cpus") or len(list_at(now, "cpu_usage", "percpu_usage"))
    return used / passed * processors * 100 if used > 0 and passed > 0 else 0.0


def compute_memory_bytes(look: Json) -> int:
    """Return the memory in use, without cached files that nobody reads: v1 calls them `total_inactive_file`, v2 `inactive_file`."""
    usage, details = number_at(look, "memory_stats", "usage"), map_at(look, "memory_stats", "stats")
    cached = number_at(details, "total_inactive_file") or number_at(details, "inactive_file")
    return usage - cached if cached < usage else usage


def stats_row(name: str, look: Json, *, truncate: bool) -> dict[str, Value]:
    """Return the fields of one line; a container that does not run yet, or no longer, has only its name."""
    if not text_at(look, "id"):
        return {**dict.fromkeys(HEADERS, UNKNOWN), "Container": name, "MemUsage": "-- / --"}
    identifier = text_at(look, "id")
    memory, limit = compute_memory_bytes(look), number_at(look, "memory_stats", "limit")
    networks = [value for value in map_at(look, "networks").values() if isinstance(value, dict)]
    io = maps_at(look, "blkio_stats", "io_service_bytes_recursive")
    read, written = (sum(number_at(e, "value") for e in io if text_at(e, "op").lower() == op) for op in ("read", "write"))
    return {
        "Container": name,
        "Name": text_at(look, "name").removeprefix("/"),
        "ID": identifier[:SHORT_ID] if truncate else identifier,
        "CPUPerc": f"{compute_cpu_percent(look):.2f}%",
        "MemUsage": f"{render_binary_size(memory)} / {render_binary_size(limit)}",
        "MemPerc": f"{memory / limit * 100 if limit else 0:.2f}%",
        "NetIO": f"{render_size(sum(number_at(n, 'rx_bytes') for n in networks))} / {render_size(sum(number_at(n, 'tx_bytes') for n in networks))}",
        "BlockIO": f"{render_size(read)} / {render_size(written)}",
        "PIDs": str(number_at(look, "pids_stats", "current")),
    }


class _Board:
    """The last look at each container, in the order in which they were named or started."""

    def __init__(self, client: Transport, *, stream: bool) -> None:
        import threading

        self._client, self._stream = client, stream
        self._lock = threading.Lock()
        self._looks: dict[str, Json] = {}
        self._failures: list[Exception] = []
        self._threads: list[threading.Thread] = []

    def add(self, name: str) -> None:
        """Begin to watch a container."""
        import threading

        with self._lock:
            if name in self._looks:
                return
            self._looks[name] = None
        thread = threading.Thread(target=self._watch, args=(name,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, name: str) -> None:
        import json

        from minidocker.errors import MinidockerError

        try:
            query: dict[str, str | list[str]] = {"stream": "1" if self._stream else "0"}
            for line in self._client.open("GET", f"/containers/{name}/stats", query).lines():
                with self._lock:
                    if name not in self._looks:
                        return
                    self._looks[name] = json.loads(line)
        except (MinidockerError, OSError, ValueError) as error:
            with self._lock:
                self._failures.append(error)

    def drop(self, name: str) -> None:
        """Take a container off the table."""
        with self._lock:
            self._looks.pop(name, None)

    def wait(self) -> None:
        """Return when every look has come."""
        for thread in self._threads:
            thread.join()

    def rows(self, *, truncate: bool) -> list[dict[str, Value]]:
        """Return the lines as they are now.

        Raises:
            MinidockerError, OSError: a container that was asked for cannot be watched.
        """
        with self._lock:
            if self._failures:
                raise self._failures[0]
            return [stats_row(name, look, truncate=truncate) for name, look in self._looks.items()]


def _follow_events(client: Transport, board: _Board, *, all: bool) -> None:
    """Put containers on the table as they start, and take them off as they end."""
    import json

    query: dict[str, str | list[str]] = {"filters": json.dumps({"type": ["container"]})}
    for line in client.open("GET", "/events", query).lines():
        event = json.loads(line)
        name, action = text_at(event, "Actor", "ID")[:SHORT_ID], text_at(event, "Action")
        if action == "start" or (all and action == "create"):
            board.add(name)
        elif action == "destroy" or (not all and action == "die"):
            board.drop(name)


def stats(session: Session, options: Options) -> int:
    """Show what containers use until told otherwise."""
    import threading
    import time

    client, stream, everything = session.client(), not options.switch("no-stream"), options.switch("all")
    board = _Board(client, stream=stream)
    names = options.arguments
    if not names:
        if stream:
            threading.Thread(target=_follow_events, args=(client, board), kwargs={"all": everything}, daemon=True).start()
        containers = list_at({"": client.get("/containers/json", {"all": "1"} if everything else None)}, "")
        names = [text_at(container, "Id")[:SHORT_ID] for container in containers]
    for name in names:
        if options.arguments:
            client.get(f"/containers/{name}/json")  # a name that does not exist is an error now, not an empty line
        board.add(name)
    if not stream:
        board.wait()
        print(_render(board, options))
        return 0
    while True:
        time.sleep(REDRAW_S)
        lines = _render(board, options).splitlines()
        sys.stdout.write(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_BELOW)
        sys.stdout.flush()


def _render(board: _Board, options: Options) -> str:
    return render_list(board.rows(truncate=not options.switch("no-trunc")), HEADERS, SHOWN, options.text("format"))


STATS = Command(
    "[OPTIONS] [CONTAINER...]",
    stats,
    (
        Flag("all", BOOL, "Show all containers (default shows just running)", short="a"),
        Flag("format", STRING, "Format output: table, json, a Go template, or table and a template"),
        Flag("no-stream", BOOL, "Disable streaming stats and only pull the first result"),
        Flag("no-trunc", BOOL, "Do not truncate output"),
    ),
)
