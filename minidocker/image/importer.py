"""`docker import`: an archive of a root file system becomes an image of one layer.

Acting. What `--change` says is read elsewhere (`minidocker.engine.config_changes`); here it has become a configuration. Chapter 7.
"""

from __future__ import annotations

import platform as host_platform
import time
from dataclasses import dataclass, field

from minidocker.codec.tar import ByteSource, InvalidArchive
from minidocker.image.commit import compose_config
from minidocker.codec.compression import open_decompressed
from minidocker.image.ingest import describe_layer
from minidocker.image.store import ImageRecord, ImageStore, render_json
from minidocker.reference.reference import Reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History, Platform, go_architecture
from minidocker.spec.record import render_record

__all__ = ["ImportRequest", "import_archive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What the new image is to be, apart from its files."""

    name: Reference | None = None
    comment: str = ""
    config: ContainerConfig = field(default_factory=ContainerConfig)
    """What containers of it begin with."""
    platform: str = ""
    """`os[/architecture[/variant]]`; empty means this machine's."""


def import_archive(store: ImageStore, stream: ByteSource, request: ImportRequest, *, time_ns: int) -> ImageRecord:
    """Make an image of the root file system in *stream*, a tar archive that may be compressed.

    Raises:
        InvalidParameter: the archive is damaged; nothing of it stays.
        HostError: the disk is full; nothing stays.
    """
    os_name, _, rest = (request.platform or "linux").partition("/")
    architecture, _, variant = rest.partition("/")
    created = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(time_ns // 10**9))}.{time_ns % 10**9:09d}Z"
    with store.ingest() as ingest:
        layer = ingest.spool(open_decompressed(stream))
        if not layer.size:
            raise InvalidArchive("import: the archive is empty", hint="give a tar archive of a root file system")
        ingest.keep(layer)
        machine = Platform(architecture=architecture or go_architecture(host_platform.machine()), os=os_name, variant=variant)
        history = History(created=created, comment=request.comment)
        image = compose_config(None, config=request.config, history=history, diff_id=layer.digest, platform=machine)
        names = (request.name,) if request.name else ()
        return store.commit(ingest, config=render_json(render_record(image)), layers=(describe_layer(layer),), names=names)
