"""What each layer of an image adds, changes and hides, and how much of it is never seen again.

Pure: from the archive of `docker save`, whichever server made it. Layers are read front to back; only names and sizes are kept.
A file that a later layer replaces or hides still lies in its layer and travels with every pull: that is *wasted* space. Removing
a file in a later instruction therefore makes an image larger, never smaller. See OCI image-spec `layer.md`. Chapter 14.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from minidocker.codec.compression import open_decompressed
from minidocker.codec.tar import InvalidArchive, Kind, TarEntry, TarReader
from minidocker.codec.whiteout import Meaning, parse_whiteout
from minidocker.spec.image import ImageConfig
from minidocker.spec.record import Json, read_record

__all__ = ["ImageLayers", "LayerReport", "compute_reports", "read_image"]

MAX_DOCUMENT_BYTES: Final = 4 << 20
Entries = list[tuple[str, int, bool]]
"""Names in an archive with size and whether they are directories, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """One instruction of an image's history, and what its layer does to the files below; paths with their sizes."""

    number: int
    """From 1 at the bottom; 0 for an instruction that made no layer."""
    digest: str = ""
    created: str = ""
    created_by: str = ""
    comment: str = ""
    size: int = 0
    added: tuple[tuple[str, int], ...] = ()
    changed: tuple[tuple[str, int], ...] = ()
    hidden: tuple[tuple[str, int], ...] = ()
    """What it takes away, with the bytes that stay in lower layers all the same."""
    wasted: int = 0
    """Bytes of lower layers that this one replaces or hides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayers:
    """One image in an archive."""

    names: tuple[str, ...]
    config: ImageConfig
    layers: tuple[tuple[str, Entries], ...]
    """Name in the archive and entries, lowest first."""


class _Data:
    """The data of the present entry as a source of its own."""

    def __init__(self, reader: TarReader, head: bytes) -> None:
        self._reader, self._head = reader, head

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes."""
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._reader.read_data(size)


def read_image(reader: TarReader) -> ImageLayers:
    """Return the first image in an archive of `docker save`.

    Raises:
        InvalidArchive: it is none.
    """
    documents: dict[str, Json] = {}
    layers: dict[str, Entries] = {}
    links: dict[str, str] = {}
    for entry in reader:
        name = entry.name.decode(errors="replace")
        if entry.kind is Kind.SYMLINK:  # how older archives say that a layer repeats
            links[name] = "/".join(entry.link_name.decode(errors="replace").split("/")[-2:])
        if entry.kind is not Kind.FILE or not entry.size:
            continue
        head = reader.read_data(1)
        if head in b"{[" and entry.size <= MAX_DOCUMENT_BYTES:
            content = head + b"".join(iter(lambda: reader.read_data(1 << 18), b""))
            documents[name] = cast(Json, json.loads(content))
        else:
            layers[name] = list(_list_entries(TarReader(open_decompressed(_Data(reader, head)))))
    return _assemble(documents, {**layers, **{name: layers[target] for name, target in links.items() if target in layers}})


def _assemble(documents: dict[str, Json], layers: dict[str, Entries]) -> ImageLayers:
    manifest = documents.get("manifest.json")
    first = manifest[0] if isinstance(manifest, list) and manifest else None
    if not isinstance(first, dict):
        raise InvalidArchive("read image: the archive has no `manifest.json`")
    config = read_record(ImageConfig, documents.get(str(first.get("Config"))), where="config")
    paths = cast("list[str]", first.get("Layers") or [])
    missing = [path for path in paths if path not in layers]
    if missing:
        raise InvalidArchive(f"read image: the archive has no `{missing[0]}`")
    names = cast("list[str]", first.get("RepoTags") or [])
    return ImageLayers(names=tuple(names), config=config, layers=tuple((path, layers[path]) for path in paths))


def _list_entries(reader: TarReader) -> Iterator[tuple[str, int, bool]]:
    for entry in reader:
        parts = [part for part in entry.name.decode(errors="replace").split("/") if part not in ("", ".")]
        if parts:
            yield "/" + "/".join(parts), _size_of(entry), entry.kind is Kind.DIRECTORY


def _size_of(entry: TarEntry) -> int:
    return entry.size if entry.kind is Kind.FILE else 0


@dataclass(slots=True)
class _Shown:
    """A name that is seen at the present height of the stack."""

    size: int = 0
    is_directory: bool = True
    children: dict[str, _Shown] = field(default_factory=dict)

    def files(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield every file at and below *path*."""
        if not self.is_directory:
            yield path, self.size
        for name, child in sorted(self.children.items()):
            yield from child.files(f"{path}/{name}")


def compute_reports(image: ImageLayers) -> list[LayerReport]:
    """Return one report for each instruction, the oldest first."""
    root, layers = _Shown(), iter(zip(image.layers, image.config.rootfs.diff_ids, strict=False))
    reports: list[LayerReport] = []
    number = 0
    for step in image.config.history:
        about = LayerReport(number=0, created=step.created, created_by=step.created_by, comment=step.comment)
        found = None if step.empty_layer else next(layers, None)
        if found is not None:
            number += 1
            about = _apply(root, found[0][1], about, number, found[1])
        reports.append(about)
    for (_, entries), diff_id in layers:  # an image may have no history
        number += 1
        reports.append(_apply(root, entries, LayerReport(number=0), number, diff_id))
    return reports


def _apply(root: _Shown, entries: Entries, about: LayerReport, number: int, diff_id: str) -> LayerReport:
    """Put one layer on what is shown: whiteouts first, because they speak about lower layers only."""
    hidden = _hide(root, entries)
    gone = dict(hidden)
    added: list[tuple[str, int]] = []
    changed: list[tuple[str, int]] = []
    wasted = sum(size for _, size in hidden)
    for path, size, is_directory in entries:
        if parse_whiteout(path.rpartition("/")[2].encode())[0] is not Meaning.ITSELF:
            continue
        parent = _enter(root, path.split("/")[1:-1])
        name = path.rpartition("/")[2]
        before = parent.children.get(name)
        if before is not None and is_directory and before.is_directory:
            continue
        parent.children[name] = _Shown(size, is_directory)
        if before is not None:
            wasted += sum(old for _, old in before.files(path))
        if not is_directory:
            (changed if before is not None or path in gone else added).append((path, size))
    replaced = {path for path, _ in changed}
    return LayerReport(
        number=number, digest=diff_id, created=about.created, created_by=about.created_by, comment=about.comment,
        size=sum(size for _, size, _ in entries), added=tuple(added), changed=tuple(changed), wasted=wasted,
        hidden=tuple((path, size) for path, size in hidden if path not in replaced),
    )  # fmt: skip


def _hide(root: _Shown, entries: Iterable[tuple[str, int, bool]]) -> list[tuple[str, int]]:
    hidden: list[tuple[str, int]] = []
    for path, _, _ in entries:
        directory, _, name = path.rpartition("/")
        meaning, victim = parse_whiteout(name.encode())
        if meaning not in (Meaning.GONE, Meaning.OPAQUE):
            continue
        parent = _enter(root, directory.split("/")[1:])
        victims: Sequence[str] = [victim.decode(errors="replace")] if meaning is Meaning.GONE else list(parent.children)
        for child in victims:
            if child in parent.children:
                gone = f"{directory}/{child}"
                hidden += list(parent.children.pop(child).files(gone)) or [(gone, 0)]
    return hidden


def _enter(root: _Shown, names: Sequence[str]) -> _Shown:
    for name in names:
        root = root.children.setdefault(name, _Shown())
    return root
