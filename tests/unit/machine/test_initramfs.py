"""What is in a machine, and that the same is in it each time."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest

from minidocker.codec.tar import Kind
from minidocker.errors import HostError
from minidocker.builtin.toolbox import TreeFile
from minidocker.machine.initramfs import find_interpreter, render_extras, write_archive
from minidocker.machine.settings import Settings, parse_settings
from tests.unit.machine.test_cpio import parse_members


def archive_of(tree: list[TreeFile]) -> bytes:
    """Return the archive of *tree*."""
    output = io.BytesIO()
    write_archive(tree, output)
    return output.getvalue()


def test_directory_comes_before_what_is_in_it() -> None:
    """The kernel makes no missing parents: a file whose directory is not there yet would be lost without a word."""
    members = parse_members(archive_of([TreeFile(path="a/b/c", content=b"x"), TreeFile(path="a/l", kind=Kind.SYMLINK, mode=0o777, link="b")]))
    assert [(name, stat.S_IFMT(mode)) for name, mode, _ in members] == [
        (b"a", stat.S_IFDIR), (b"a/b", stat.S_IFDIR), (b"a/b/c", stat.S_IFREG), (b"a/l", stat.S_IFLNK),
    ]  # fmt: skip


def test_equal_trees_give_equal_bytes() -> None:
    """In whatever order they were gathered: a machine can be compared with another by its digest."""
    tree = [TreeFile(path=f"d/{name}", content=name.encode()) for name in "abc"]
    assert archive_of(tree) == archive_of(tree[::-1])


def test_extras_hold_modules_in_order_and_the_settings(tmp_path: Path) -> None:
    """Their order is in their names, because a directory has none."""
    modules = [tmp_path / name for name in ("zfirst.ko", "asecond.ko")]
    for path in modules:
        path.write_bytes(path.name.encode())
    settings = Settings(command=("true",), environment={})
    members = {name: content for name, _, content in parse_members(archive_of(list(render_extras(modules, settings))))}
    assert [name for name in members if name.endswith(b".ko")] == [b"lib/modules/00-zfirst.ko", b"lib/modules/01-asecond.ko"]
    assert parse_settings(members[b"etc/machine.json"]) == settings


def test_interpreter_that_cannot_run_in_linux_is_refused(tmp_path: Path) -> None:
    """A machine is built from the host's Python: that of another system would not start in it."""
    program = tmp_path / "python.exe"
    program.write_bytes(b"MZ")
    with pytest.raises(HostError, match=r"`.*python.exe` is no Linux program"):
        find_interpreter(str(program))


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's own interpreter")
def test_interpreter_is_found_behind_its_links(tmp_path: Path) -> None:
    """A virtual environment's `python` is a link; what goes into the machine is the program."""
    (tmp_path / "python").symlink_to(sys.executable)
    found = find_interpreter(str(tmp_path / "python"))
    assert not found.program.is_symlink()
    assert (found.library / "os.py").exists()
