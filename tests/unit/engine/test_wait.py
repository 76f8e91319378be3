"""Waiting for a container that is gone already."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from minidocker.container.record import ContainerRecord, State, Status
from minidocker.spec.container import ContainerConfig, HostConfig

if sys.platform != "linux":
    pytest.skip("needs Linux: eventfd(2)", allow_module_level=True)

from minidocker.engine.store import Handle
from minidocker.engine.wait import CONDITIONS, ExitResult, wait_container


@pytest.mark.parametrize("condition", CONDITIONS)
def test_wait_for_a_container_that_was_removed_meanwhile_answers_at_once(condition: str) -> None:
    """Under `--rm` a short command can end and be removed between finding the container and getting its lock.

    Whoever waits then would otherwise wait for ever: nothing happens to that container any more.
    """
    record = ContainerRecord(
        id="c" * 64, name="web", created="", image_id="", config=ContainerConfig(), host_config=HostConfig(),
        state=State(status=Status.REMOVING, exit_code=3),
    )  # fmt: skip
    handle = Handle(record, Path("/nowhere"))
    engine = SimpleNamespace(containers=SimpleNamespace(require=lambda _reference: handle))
    waiter = wait_container(engine, "web", condition)  # type: ignore[arg-type]  # the one part of an engine that is used
    try:
        assert waiter.result == ExitResult(status_code=3)
    finally:
        waiter.close()
