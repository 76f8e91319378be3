"""`run --simulate`: make the container on a model of Linux, and print what it sees; no server, no root, any system.

With `--explain` each step is followed by what it changes. Pure but for the output. Chapter 16.
"""

from __future__ import annotations

import sys

from minidocker.cli.explain import plan_dry_run
from minidocker.container.user import resolve_user
from minidocker.errors import HostError
from minidocker.kernel.explain import describe_step
from minidocker.kernel.steps import PivotRoot, SetUser, actor_of
from minidocker.simulator.changes import describe_changes
from minidocker.simulator.machine import EXAMPLE_FACTS, EXAMPLE_IMAGE, boot, prepare
from minidocker.simulator.perform import Simulation, perform_step
from minidocker.simulator.views import render_views
from minidocker.spec.record import Json

__all__ = ["simulate_run"]

MAX_CHANGES = 16
"""Lines shown for one step; pivot_root gives every file another name."""


def simulate_run(body: dict[str, Json], image: str, *, explained: bool) -> None:
    """Print what a container for the create request *body* would see.

    Raises:
        InvalidParameter: the request cannot be meant.
        HostError: the kernel would refuse a step.
    """
    steps = plan_dry_run(body)
    linux, pid = boot(EXAMPLE_FACTS)
    linux = prepare(linux, pid, steps, EXAMPLE_IMAGE)
    staging_root = next(step.root for step in steps if isinstance(step, PivotRoot))
    simulation = Simulation(linux=linux, monitor=pid, find_identity=find_identity, staging_root=staging_root)
    say = sys.stdout.write
    say(f"# a container from image `{image}`, on a model of a plain Linux with cgroup v2; nothing was done\n")
    for number, step in enumerate(steps, 1):
        what = describe_step(step).what
        try:
            after = perform_step(simulation, step)
        except OSError as error:
            raise HostError(f"step {number}, `{what}`: the kernel would refuse: {error.strerror}") from error
        if explained:
            say(f"{number:3}  {actor_of(step):8} {what}\n")
            changes = describe_changes(simulation.linux, after.linux, after.observer)
            say("".join(f"{'':14}{line}\n" for line in changes[:MAX_CHANGES]))
            if changes[MAX_CHANGES:]:
                say(f"{'':14}… and {len(changes) - MAX_CHANGES} more\n")
        simulation = after
    for name, text in () if explained else render_views(simulation.linux, simulation.command).items():
        say(f"\n==> {name} <==\n{text}")


def find_identity(step: SetUser, passwd: str, group: str) -> tuple[int, int, tuple[int, ...]]:
    """Look a user up in the container's files, as init does.

    Raises:
        InvalidParameter: there is no such user.
    """
    user = resolve_user(step.user, passwd.encode(), group.encode(), step.extra_groups)
    return user.uid, user.gid, user.groups
