"""One more layer on top of an image: what `docker commit`, every step of a build and `docker import` have in common.

`compose_config` is pure: the configuration of the new image, with one more line of history. `commit_layer` acts: the changes
stream into an archive, which is hashed while it is written; then it is unpacked like any other layer. Where nothing
changed, the history says so (`empty_layer`) and the image has the same layers as its base. Chapter 7.
"""

from __future__ import annotations

import platform as host_platform
from collections.abc import Collection, Iterator
from dataclasses import replace

from minidocker.errors import HostError
from minidocker.image.diff import Found
from minidocker.image.ingest import ChunkSource, describe_layer
from minidocker.image.pack import pack_changes
from minidocker.image.store import ImageRecord, ImageStore, render_json
from minidocker.reference.reference import Reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History, ImageConfig, Platform, RootFS, go_architecture
from minidocker.spec.record import render_record

__all__ = ["commit_layer", "compose_config"]


def commit_layer(
    store: ImageStore, *, base: ImageRecord | None, changes: Iterator[Found], config: ContainerConfig, history: History,
    names: Collection[Reference] = (), latest_ns: int | None = None,
) -> ImageRecord:  # fmt: skip
    """Make an image of *base* (`None`: of nothing) and *changes*; return it with its new names.

    Args:
        store: where it goes; what is written comes in whole or not at all.
        base: an image of this store.
        changes: from `walk_upper_changes` or `walk_tree_changes`; read to its end.
        config: how to run the new image.
        history: when, how and by whom it was made; `empty_layer` is found out here.
        names: moved from whatever image had them.
        latest_ns: no file in the layer is younger, see `minidocker.image.pack`.

    Raises:
        InvalidParameter: it would have too many layers.
        HostError: the disk is full, or a blob of *base* is missing.
    """
    with store.ingest() as ingest:
        below = base.manifest.layers if base is not None else ()
        for descriptor in below:
            if not ingest.claim(descriptor.digest):
                raise HostError(f"use layer `{descriptor.digest}`: it is missing from the store", hint="load or pull its image again")
        layer = ingest.spool(ChunkSource(pack_changes(changes, latest_ns=latest_ns, ids=store.content.ids)))
        if layer.size:
            ingest.keep(layer)
        document = compose_config(
            base.config if base is not None else None, config=config, history=history, diff_id=layer.digest if layer.size else ""
        )
        return store.commit(
            ingest, config=render_json(render_record(document)), names=names,
            layers=(*below, describe_layer(layer)) if layer.size else below,
        )  # fmt: skip


def compose_config(
    base: ImageConfig | None, *, config: ContainerConfig, history: History, diff_id: str, platform: Platform | None = None
) -> ImageConfig:
    """Return the configuration of an image that has one more layer than *base*, or with an empty *diff_id* the same ones."""
    if base is None:
        machine = platform or Platform(architecture=go_architecture(host_platform.machine()))
        base = ImageConfig(architecture=machine.architecture, os=machine.os, variant=machine.variant)
    return replace(
        base, created=history.created, author=history.author or base.author, config=config,
        rootfs=RootFS(diff_ids=(*base.rootfs.diff_ids, diff_id)) if diff_id else base.rootfs,
        history=(*base.history, replace(history, empty_layer=not diff_id)),
    )  # fmt: skip
