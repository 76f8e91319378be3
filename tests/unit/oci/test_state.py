"""Where a container is in its life: looked at, never written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidocker.errors import Conflict, InvalidParameter, NotFound
from minidocker.oci.state import ContainerState, StateStore, Status, compute_status, render_state

STATE = ContainerState(id="c", pid=7, start_ticks=100, bundle="/b", created="now", annotations={"a": "b"})

SEEN = {
    "waits-at-the-gate": (100, True, False, Status.CREATED),
    "runs": (100, False, False, Status.RUNNING),
    "is-frozen": (100, False, True, Status.PAUSED),
    "is-gone": (0, False, False, Status.STOPPED),
    "number-went-to-another-process": (101, False, False, Status.STOPPED),
    "died-at-the-gate": (0, True, False, Status.STOPPED),
}


@pytest.mark.parametrize(("ticks", "at_gate", "frozen", "status"), SEEN.values(), ids=SEEN)
def test_status_follows_from_what_can_be_seen(ticks: int, at_gate: bool, frozen: bool, status: Status) -> None:
    """A written status would be wrong the moment the process dies, and a process id alone can mean another process."""
    assert compute_status(STATE, start_ticks=ticks, at_gate=at_gate, frozen=frozen) is status


def test_stopped_container_has_no_process() -> None:
    """The specification: `pid` is there while the container is created or running."""
    assert render_state(STATE, Status.STOPPED)["pid"] == 0
    assert render_state(STATE, Status.RUNNING) == {
        "ociVersion": "1.0.2", "id": "c", "pid": 7, "status": "running", "bundle": "/b", "annotations": {"a": "b"},
    }  # fmt: skip


def test_state_written_is_the_state_read(tmp_path: Path) -> None:
    """Between two commands the file is all that there is."""
    store = StateStore(tmp_path / "root")
    store.reserve("c")
    store.save(STATE)
    assert store.require("c") == STATE
    assert store.all() == [STATE]
    with pytest.raises(Conflict):
        store.reserve("c")
    store.forget("c")
    with pytest.raises(NotFound):
        store.require("c")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ü/", "-\n"])
def test_id_that_is_no_directory_name_is_refused(name: str, tmp_path: Path) -> None:
    """The id becomes a path: `../x` would be somebody else's directory."""
    with pytest.raises(InvalidParameter):
        StateStore(tmp_path).directory(name)
