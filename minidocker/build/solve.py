"""A whole build: one thread for each stage that the target needs.

    target ── waits for ──▶ its parent, its `COPY --from`, its `RUN --mount=from`     (all of them above it: no circle)

A thread begins at once and waits where it needs another's result; so independent stages run side by side without anybody planning
it. The first failure is the build's; the others notice at their next step, or when their container is killed. Chapter 10.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from minidocker.build.cache import BuildCache, CacheRecord
from minidocker.build.progress import Event
from minidocker.build.request import BuildRequest, platform_arguments
from minidocker.build.stage import Job, StageBuilder, StageResult
from minidocker.build.stages import StageNode, compute_global_arguments, find_target, plan_stages, required_stages
from minidocker.build.workshop import BuildCancelled, Workshop
from minidocker.dockerfile.instructions import Arg, Dockerfile

__all__ = ["Plan", "plan_build", "solve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be built."""

    file: Dockerfile
    nodes: tuple[StageNode, ...]
    wanted: tuple[int, ...]
    """The stages that are needed, in their order; the target is the last."""
    target: StageNode
    defaults: dict[str, str]
    unused: tuple[str, ...] = ()
    """Build arguments that no ARG of a stage that is needed mentions."""

    @property
    def step_count(self) -> int:
        """How many steps the stages have, FROM being one."""
        return sum(1 + len(self.nodes[index].stage.instructions) for index in self.wanted)


def plan_build(file: Dockerfile, request: BuildRequest, platform: str) -> Plan:
    """Return what a build of *file* has to do; *platform* is this machine's.

    Raises:
        DockerfileError, InvalidParameter: as `plan_stages` and `find_target`.
    """
    platforms = platform_arguments(request.platform or platform, platform)
    defaults = compute_global_arguments(file, request.arguments, platforms)
    nodes = plan_stages(file, defaults, tuple(request.contexts))
    target = find_target(nodes, request.target)
    wanted = required_stages(nodes, target.index)
    used = [*file.arguments, *(one for index in wanted for one in nodes[index].stage.instructions if isinstance(one, Arg))]
    known = {pair.name for argument in used for pair in argument.pairs}
    unused = tuple(name for name in request.arguments if name not in known)
    return Plan(file=file, nodes=nodes, wanted=wanted, target=target, defaults=defaults, unused=unused)


def solve(
    plan: Plan, request: BuildRequest, workshop: Workshop, cache: BuildCache, *, tell: Callable[[Event], None],
    compute_id: Callable[[StageResult], str], cancel: Callable[[], None], offered: dict[str, CacheRecord], platform: str,
) -> StageResult:  # fmt: skip
    """Build the stages of *plan* and return what the target came to; *cancel* makes the workshop stop.

    Raises:
        MinidockerError: the first thing that failed.
    """
    lock = threading.Lock()
    started: dict[int, Future[StageResult]] = {}
    # A trigger of a base image may need a stage that nobody planned for, so there is room for all.
    with ThreadPoolExecutor(max_workers=len(plan.nodes), thread_name_prefix="md:stage") as pool:

        def wait_stage(index: int) -> StageResult:
            with lock:
                if index not in started:
                    started[index] = pool.submit(StageBuilder(job, plan.nodes[index]).build)
            return started[index].result()

        job = Job(
            workshop=workshop, cache=cache, request=request, file=plan.file, nodes=plan.nodes, defaults=plan.defaults, tell=tell,
            wait_stage=wait_stage, compute_id=compute_id, platform=platform, offered=offered,
        )  # fmt: skip
        with lock:
            for index in plan.wanted:
                started[index] = pool.submit(StageBuilder(job, plan.nodes[index]).build)
        try:
            _wait_for_failure(list(started.values()))
        finally:
            if any(future.done() and future.exception() for future in started.values()):
                cancel()
        return _first_result(started, plan.wanted)


def _wait_for_failure(futures: Sequence[Future[StageResult]]) -> None:
    wait(futures, return_when="FIRST_EXCEPTION")


def _first_result(started: dict[int, Future[StageResult]], wanted: Sequence[int]) -> StageResult:
    """Return the target's result, or raise what went wrong first: never the cancelling that followed from it."""
    wait(started.values())
    errors = [error for future in started.values() if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, BuildCancelled)):
        raise error
    return started[wanted[-1]].result()
