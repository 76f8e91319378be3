"""`RUN --mount`: what is lent to one command, and what of it the key depends on.

Acting, as far as it waits for stages and reads what a bind mount shows. A cache, a secret and an agent are not in the key: the result must
not depend on them, and a digest of a secret could be guessed at. See the Dockerfile reference, "RUN --mount". Chapter 10.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from minidocker.build.state import RunCommand
from minidocker.build.workshop import Lent
from minidocker.dockerfile.instructions import Mount, MountType
from minidocker.errors import NotFound

if TYPE_CHECKING:
    from minidocker.build.cache import Layer
    from minidocker.build.stage import Job

__all__ = ["lend_mounts"]

DEFAULT_AGENT: Final = "default"


def lend_mounts(job: Job, index: int, command: RunCommand) -> tuple[list[Lent], dict[str, str]]:
    """Return what *command* of stage *index* borrows, and the digests of what it can read of it.

    Raises:
        NotFound: a bind mount's source is not there, or a secret or agent that is required was not given.
    """
    lent: list[Lent] = []
    content: dict[str, str] = {}
    for mount in command.mounts:
        if mount.type is MountType.BIND:
            found, digest = _lend_bind(job, index, mount)
            content[f"--mount={mount.from_ or 'context'}:{mount.source or '/'}"] = digest
        elif mount.type is MountType.CACHE:
            seeds = job.find_layers(mount.from_, index) if mount.from_ and mount.from_ != "scratch" else None
            found = Lent(mount=mount, seeds=seeds)
        elif mount.type is MountType.TMPFS:
            found = Lent(mount=mount)
        else:
            given = _lend_from_client(job, mount)
            if given is None:
                continue
            found = given
        lent.append(found)
    if command.script:
        script = Mount(type=MountType.SECRET, target=command.argv[0], mode=0o755)
        lent.append(Lent(mount=script, content=command.script.encode("utf-8", "surrogateescape")))
    return lent, content


def _lend_bind(job: Job, index: int, mount: Mount) -> tuple[Lent, str]:
    if job.has_files(mount.from_):
        tree, directory = job.workshop.context(mount.from_)
        names = tree.resolve(mount.source or "/")
        if tree.find(names) is None:
            raise NotFound(f"bind mount `{mount.source}`: it is not in the build context")
        return Lent(mount=replace(mount, source="/".join(names)), directory=directory), job.digests.compute(tree, names)
    layers = job.find_layers(mount.from_, index)
    return Lent(mount=mount, layers=layers), _name_layers(layers, mount.source)


def _name_layers(layers: Sequence[Layer], path: str) -> str:
    """Return a digest for a place in layers without reading them: they are named by their content."""
    return hashlib.sha256("\0".join((path, *(layer.diff_id for layer in layers))).encode()).hexdigest()


def _lend_from_client(job: Job, mount: Mount) -> Lent | None:
    """Return a secret or an agent, None for one that was not given and need not be."""
    if mount.type is MountType.SECRET:
        content = job.request.secrets.get(mount.id)
        if content is not None:
            return Lent(mount=mount, content=content)
        if mount.required:
            raise NotFound(f"secret {mount.id}: not found", hint=f"build with --secret id={mount.id},src=FILE")
        return None
    socket = job.request.agents.get(mount.id or DEFAULT_AGENT)
    if socket is not None:
        return Lent(mount=mount, socket=socket)
    if mount.required:
        raise NotFound(f"unset ssh forward key {mount.id or DEFAULT_AGENT}", hint="build with --ssh default")
    return None
