"""The json-file log: what a container wrote comes back, line by line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidocker.container.logs import MAX_LINE_BYTES, LogWriter, decode_log_line, find_tail_offset, format_time, read_entries


def _read(path: Path) -> list[tuple[int, bytes]]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return [(entry.stream, entry.text) for entry, _offset in read_entries(fd)]
    finally:
        os.close(fd)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.text(st.characters(codec="utf-8")).map(str.encode)), max_size=10))
def test_log_gives_back_each_stream_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[int, bytes]]) -> None:
    """However output is cut into pieces, the lines of a stream join to what the process wrote."""
    path = tmp_path_factory.mktemp("log") / "log"
    writer = LogWriter(str(path))
    for stream, data in chunks:
        writer.write(stream, data)
    writer.close()
    for stream in (1, 2):
        written = b"".join(data for s, data in chunks if s == stream)
        assert b"".join(text for s, text in _read(path) if s == stream).decode(errors="replace") == written.decode(errors="replace")


def test_line_arrives_whole_although_it_was_written_in_pieces(tmp_path: Path) -> None:
    """A program that prints a line in three writes has printed one line."""
    writer = LogWriter(str(tmp_path / "log"))
    for piece in (b"one", b" li", b"ne\ntwo"):
        writer.write(1, piece)
    assert _read(tmp_path / "log") == [(1, b"one line\n")]
    writer.close()
    assert _read(tmp_path / "log") == [(1, b"one line\n"), (1, b"two")]


def test_endless_line_is_cut_at_sixteen_kibibytes(tmp_path: Path) -> None:
    """Docker cuts there too, so that a line without an end costs no more memory than that."""
    writer = LogWriter(str(tmp_path / "log"))
    writer.write(1, b"x" * (MAX_LINE_BYTES * 2 + 5))
    writer.close()
    assert [len(text) for _stream, text in _read(tmp_path / "log")] == [MAX_LINE_BYTES, MAX_LINE_BYTES, 5]


def test_log_line_has_the_keys_that_log_shippers_read(tmp_path: Path) -> None:
    """The file format is public: Fluentd, Filebeat and others parse `log`, `stream` and `time` from it."""
    writer = LogWriter(str(tmp_path / "log"))
    writer.write(2, "grüße\n".encode())
    document = json.loads((tmp_path / "log").read_text())
    assert document["log"] == "grüße\n"
    assert document["stream"] == "stderr"
    assert document["time"].endswith("Z")


def test_torn_line_is_skipped(tmp_path: Path) -> None:
    """A crash can leave half a line; the lines before it are still good."""
    (tmp_path / "log").write_bytes(b'{"log":"a\\n","stream":"stdout","time":"t"}\n{"log":"b\n')
    assert _read(tmp_path / "log") == [(1, b"a\n")]
    assert decode_log_line(b"[1]") is None


@given(st.integers(0, 12))
def test_tail_finds_the_beginning_of_the_last_lines(count: int) -> None:
    """Reading backwards in blocks, so that the last line of a gigabyte is found at once."""
    content = b"".join(b"line %d\n" % n for n in range(10))
    fd = os.memfd_create("log") if hasattr(os, "memfd_create") else pytest.skip("needs memfd_create")
    try:
        os.write(fd, content)
        offset = find_tail_offset(fd, lines=count)
        assert content[offset:].count(b"\n") == min(count, 10)
    finally:
        os.close(fd)


def test_rotation_keeps_as_many_files_as_asked(tmp_path: Path) -> None:
    """`max-size` and `max-file`: the newest lines stay in the file without a number."""
    writer = LogWriter(str(tmp_path / "log"), max_bytes=200, max_files=3)
    for number in range(40):
        writer.write(1, b"line %d\n" % number)
    writer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    last = _read(tmp_path / "log") or _read(tmp_path / "log.1")
    assert last[-1] == (1, b"line 39\n")


def test_time_has_nine_digits_like_gos() -> None:
    """RFC 3339 with nanoseconds in UTC; trailing zeros stay, so that texts sort as times do."""
    assert format_time(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
