"""What the builder needs of the engine, as one protocol: images, places for files, and somebody who runs a command.

Pure: only shapes. `minidocker.engine.build` is the workshop with containers; a test's workshop may be a dictionary. Chapter 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from minidocker.build.cache import Layer
from minidocker.build.state import RunCommand
from minidocker.build.tree import Tree
from minidocker.dockerfile.instructions import Mount
from minidocker.errors import MinidockerError
from minidocker.spec.image import ImageConfig

__all__ = ["BaseImage", "BuildCancelled", "Fetched", "Fill", "Lent", "RunFailed", "Workshop"]

Fill = Callable[[int, Sequence[int]], None]
"""Puts files into an open directory, over the open layers below (highest first)."""


class RunFailed(MinidockerError):
    """A RUN command ended with another exit code than 0."""

    def __init__(self, message: str, *, code: int) -> None:
        """Keep the exit code: clients end with it."""
        super().__init__(message)
        self.code = code


class BuildCancelled(MinidockerError):
    """Nobody waits for the result any more, or another stage failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image that a stage begins with or reads from."""

    id: str
    config: ImageConfig
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """What one RUN borrows for its time: a mount with the place that it comes from."""

    mount: Mount
    layers: tuple[Layer, ...] | None = None
    """A stage or image."""
    directory: str = ""
    """A directory of this machine: the context."""
    content: bytes | None = field(default=None, repr=False)
    """A secret, or a script."""
    socket: str = ""
    """Of an SSH agent."""
    seeds: tuple[Layer, ...] | None = None
    """What a new cache begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What an URL or a git repository gave: a directory of this build, with the files in it."""

    tree: Tree
    names: tuple[str, ...]


class Workshop(Protocol):
    """Everything outside of the builder."""

    def context(self, name: str = "") -> tuple[Tree, str]:
        """Return the files of the build context, or of a named one, and the directory that they are in."""

    def find_image(self, reference: str, *, platform: str) -> BaseImage:
        """Return an image, pulled if it is not here."""

    def holds(self, layer: Layer) -> bool:
        """Whether a layer is here; it then stays for as long as the build."""

    def open_layers(self, layers: Sequence[Layer]) -> AbstractContextManager[tuple[int, ...]]:
        """Open stacked layers (lowest first) as directories, highest first."""

    def make_layer(self, below: Sequence[Layer], fill: Fill, *, epoch: int | None) -> tuple[Layer | None, str]:
        """Return the layer that *fill* makes, and its ChainID; None if it did nothing."""

    def run(
        self, command: RunCommand, below: Sequence[Layer], lent: Sequence[Lent], *, container_id: str,
        output: Callable[[int, bytes], None], epoch: int | None,
    ) -> tuple[Layer | None, str]:  # fmt: skip
        """Run a command over layers and return the layer that it made; raises `RunFailed`."""

    def find_unpacker(self, tree: Tree, names: tuple[str, ...]) -> Callable[[int, int, Sequence[int]], None] | None:
        """Return what unpacks the file at a path, if it is an archive."""

    def fetch(self, source: str, *, checksum: str, keep_git_dir: bool) -> Fetched:
        """Return what is at an URL or in a git repository."""

    def write_files(self, files: Sequence[tuple[str, bytes, int]]) -> Tree:
        """Return a tree of new files: name, content, mode."""

    def resolve_owner(self, text: str, tree: Tree) -> tuple[int, int]:
        """Return the uid and gid, on this machine, of `user[:group]`, by the names that *tree* has in `/etc`."""

    def check(self) -> None:
        """Raise `BuildCancelled` if nobody waits any more."""

    def now(self) -> tuple[str, int]:
        """Return the time as images have it, and in nanoseconds."""
