"""Machines that stay: made whole or not at all, run by one at a time, removed with everything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minidocker.errors import Conflict, InvalidParameter, NotFound

if sys.platform == "win32":
    pytest.skip("machines are locked with flock(2)", allow_module_level=True)

from minidocker.machine.store import MachineRecord, create_machine, hold_lock, is_running, list_machines, read_machine, remove_machine

RECORD = MachineRecord(name="box", machine="x86_64", disk_mib=64)


def make(root: Path, record: MachineRecord = RECORD) -> Path:
    """Create a machine and return its directory."""
    with create_machine(root, record) as directory:
        (directory / "kernel").write_bytes(b"k")
    return root / record.name


def test_machine_is_there_with_its_disk_and_record(tmp_path: Path) -> None:
    """The disk is sparse: ten gigabytes that take nothing until something is written."""
    directory = make(tmp_path)
    assert read_machine(tmp_path, "box") == RECORD
    assert list_machines(tmp_path) == ["box"]
    assert (directory / "disk").stat().st_size == 64 << 20
    assert (directory / "disk").stat().st_blocks == 0


def test_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A kernel that cannot be fetched, a full disk: the name is free again."""
    with pytest.raises(KeyError), create_machine(tmp_path, RECORD):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_second_machine_of_a_name_is_refused(tmp_path: Path) -> None:
    """What is on the first one's disk is somebody's."""
    make(tmp_path)
    with pytest.raises(Conflict, match="there is one already"):
        make(tmp_path)


def test_machine_is_run_by_one_at_a_time(tmp_path: Path) -> None:
    """Two starts at once: two kernels that write one disk would destroy it. The lock goes with whoever holds it."""
    directory = make(tmp_path)
    with hold_lock(directory):
        assert is_running(directory)
        with pytest.raises(Conflict, match="`box` is running already"), hold_lock(directory):
            pass
        with pytest.raises(Conflict, match="it is running"):
            remove_machine(tmp_path, "box")
    assert not is_running(directory)
    remove_machine(tmp_path, "box")
    assert not list(tmp_path.iterdir())


BAD = {
    "name": ({"name": "../x"}, "a name has letters"), "hidden": ({"name": ".x"}, "a name has letters"),
    "memory": ({"memory_mib": 8}, "--memory is at least 256 MiB"), "disk": ({"disk_mib": 1}, "--disk is at least 64 MiB"),
    "cpus": ({"processors": -1}, "--cpus is at least 1"), "port": ({"port": 70000}, "`70000` is no port"),
    "share": ({"shares": ("/no/such/folder",)}, "there is no such directory"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "text"), BAD.values(), ids=BAD)
def test_machine_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, object], text: str) -> None:
    """Before anything is fetched or built."""
    values: dict[str, object] = {"name": "box", "machine": "x86_64", **change}
    with pytest.raises(InvalidParameter, match=text):
        make(tmp_path, MachineRecord(**values))  # type: ignore[arg-type]  # the values under test
    assert not list(tmp_path.iterdir())


def test_machine_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the command that makes it."""
    with pytest.raises(NotFound, match="no such machine: `box`") as caught:
        read_machine(tmp_path, "box")
    assert caught.value.hint == "minidocker machine create box"
    with pytest.raises(NotFound):
        remove_machine(tmp_path, "..")


def test_damaged_record_is_one_sentence(tmp_path: Path) -> None:
    """A half-written file after a crash of the host must not be a traceback."""
    (make(tmp_path) / "machine.json").write_text("{")
    with pytest.raises(InvalidParameter, match="read machine `box`: its record is damaged"):
        read_machine(tmp_path, "box")
