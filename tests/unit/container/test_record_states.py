"""The life cycle of a container is one table of changes."""

from __future__ import annotations

import pytest

from minidocker.container.record import TRANSITIONS, ContainerRecord, State, Status, move_state
from minidocker.errors import Conflict
from minidocker.spec.container import ContainerConfig, HostConfig


def _record(status: Status) -> ContainerRecord:
    return ContainerRecord(
        id="c" * 64, name="web", created="", image_id="", config=ContainerConfig(), host_config=HostConfig(),
        state=State(status=status),
    )  # fmt: skip


@pytest.mark.parametrize("target", Status, ids=str)
@pytest.mark.parametrize("source", Status, ids=str)
def test_state_moves_along_the_table_only(source: Status, target: Status) -> None:
    """A change that the table lacks is a bug of ours, and is stopped where it happens, with both ends named."""
    if target in TRANSITIONS[source]:
        assert move_state(_record(source), target).state.status is target
    else:
        with pytest.raises(Conflict, match=f"from {source} to {target}"):
            move_state(_record(source), target)


def test_every_status_can_be_left_for_removal() -> None:
    """Whatever happened to a container, some path of changes leads to `removing`: nothing is stuck for ever."""
    for start in Status:
        seen, todo = set(), [start]
        while todo:
            status = todo.pop()
            seen.add(status)
            todo += [n for n in TRANSITIONS[status] if n not in seen]
        assert Status.REMOVING in seen
