"""`run --explain` and `explain`: the steps that a request would become, or a container consists of, without doing any."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace

from minidocker.container.plan import plan_container
from minidocker.container.record import ContainerRecord
from minidocker.engine.create import compose_record, remove_anonymous_volumes
from minidocker.engine.images import require_image
from minidocker.engine.engine import Engine
from minidocker.engine.start import surroundings_of
from minidocker.kernel.steps import Step
from minidocker.spec.container import CreateRequest

__all__ = ["explain_container", "explain_request"]


def explain_request(engine: Engine, request: CreateRequest) -> tuple[Step, ...]:
    """Return the plan for *request*: an address and ports are taken for a moment and given back.

    Raises:
        NotFound, InvalidParameter, HostError: what creating or starting it would raise.
    """
    image = require_image(engine, request.config.image)
    record = compose_record(engine, request, name="", image=image, layers=engine.images.ensure_layers(image))
    with ExitStack() as undo:
        undo.callback(remove_anonymous_volumes, engine, record)
        return _plan(engine, record)


def explain_container(engine: Engine, reference: str) -> tuple[Step, ...]:
    """Return the steps that made a container that runs, or that would make one that does not.

    Raises:
        NotFound: there is no such container.
    """
    record = engine.containers.require(reference).record
    if record.state.running:
        return plan_container(record, engine.host, surroundings_of(engine, record))
    return _plan(engine, record)


def _plan(engine: Engine, record: ContainerRecord) -> tuple[Step, ...]:
    """Return the plan of a container that does not run: its places in networks are taken for a moment and given back."""
    with ExitStack() as undo:
        allocation = undo.enter_context(closing(engine.networks.allocate(record)))
        undo.callback(engine.networks.release, allocation.endpoints)
        record = replace(record, endpoints=allocation.endpoints)
        return plan_container(record, engine.host, surroundings_of(engine, record))
