"""`docker diff` and `docker export`: the files of a container, whether it runs or not, without mounting anything.

Acting. Both read the container's own directory and its image's layers below open descriptors; see `minidocker.image.diff` and
`minidocker.kernel.overlay`. What is mounted in the container (volumes, `/proc`) is no part of it, and the empty files and
directories that something was mounted on are no change, unless the image lacked everything else in them too. Chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker.errors import HostError, NotFound
from minidocker.image.diff import Change, Found, list_changes, walk_tree_changes, walk_upper_changes
from minidocker.image.pack import gather, pack_stack
from minidocker.kernel.overlay import open_trees

if TYPE_CHECKING:
    from minidocker.container.record import ContainerRecord
    from minidocker.engine.engine import Engine

__all__ = ["diff_container", "export_container", "layer_paths", "open_changes", "own_path"]

MOUNT_STUBS: Final = frozenset({"/dev", "/etc", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc", "/sys"})
"""What every start makes in the root file system, where the image lacks it, in order to mount on it."""


def own_path(engine: Engine, record: ContainerRecord) -> Path:
    """Return the directory of what a container wrote: the upper layer, or where layers cannot be stacked the whole tree."""
    return engine.containers.directory / record.id / ("upper" if record.driver == "overlay2" else "rootfs")


def layer_paths(engine: Engine, record: ContainerRecord) -> list[Path]:
    """Return the unpacked layers of a container's image, highest first."""
    return [engine.images.content.layers / name for name in reversed(record.layers)]


@contextmanager
def open_changes(engine: Engine, record: ContainerRecord) -> Iterator[Iterator[Found]]:
    """Walk through what a container changed in the files of its image."""
    with open_trees(layer_paths(engine, record)) as lower_fds, open_trees([own_path(engine, record)]) as (own_fd,):
        walk = walk_upper_changes if record.driver == "overlay2" else walk_tree_changes
        yield walk(own_fd, lower_fds, ignored=MOUNT_STUBS)


def diff_container(engine: Engine, reference: str) -> list[Change]:
    """Return what a container changed in the files of its image, by path.

    Raises:
        NotFound: there is no such container, or no more.
    """
    record = engine.containers.require(reference).record
    try:
        with open_changes(engine, record) as changes:
            return list_changes(changes)
    except OSError as error:
        raise _explain(error, engine, record, "compare the files of") from error


def export_container(engine: Engine, reference: str) -> Iterator[bytes]:
    """Return the pieces of an archive of all files of a container, without its volumes.

    Raises:
        NotFound: there is no such container; later: it was removed meanwhile.
    """
    record = engine.containers.require(reference).record
    layers = [] if record.driver != "overlay2" else layer_paths(engine, record)
    return _export(engine, record, [own_path(engine, record), *layers])


def _export(engine: Engine, record: ContainerRecord, trees: list[Path]) -> Iterator[bytes]:
    try:
        with open_trees(trees) as fds:
            yield from gather(pack_stack(fds, ids=engine.ids))
    except OSError as error:
        raise _explain(error, engine, record, "export") from error
    engine.containers.require(record.id)  # if it was removed meanwhile, what was sent is not all of it


def _explain(error: OSError, engine: Engine, record: ContainerRecord, verb: str) -> NotFound | HostError:
    """Return the sentence for files that could not be read; gone with the container is an answer, too."""
    engine.containers.require(record.id)
    return HostError(f"{verb} container `{record.name}`: {error.strerror}: `{error.filename}`")
