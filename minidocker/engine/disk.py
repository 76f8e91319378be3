"""What every byte below the data root is for: `system df -v`. Acting: reads sizes. Chapter 12."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from minidocker.engine.system import measure_directory
from minidocker.image.layer import layer_name

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["measure_disk"]


def measure_disk(engine: Engine) -> dict[str, int]:
    """Return the bytes of each kind of thing; what belongs to nothing that is known is an orphan, removed at the next start."""
    sizes = Counter[str]()
    containers = {handle.record.id: handle.record for handle in engine.containers.all()}
    kept = {name.partition("/")[0] for record in containers.values() for name in record.layers}
    kept |= {layer_name(chain_id) for image in engine.images.all() for chain_id in image.chain_ids}
    for path in engine.data_root.iterdir():
        if path == engine.images.content.layers:
            for layer in path.iterdir():
                sizes["unpacked layers" if layer.name in kept else "orphans"] += measure_directory(layer)
        elif path == engine.containers.directory:
            for directory in path.iterdir():
                for part in directory.iterdir() if directory.name in containers else ():
                    sizes[_kind_of(part)] += _measure(part)
                if directory.name not in containers:
                    sizes["orphans"] += measure_directory(directory)
        else:
            sizes[{"blobs": "image archives", "volumes": "volumes"}.get(path.name, "records and the rest")] += _measure(path)
    return dict(sorted(sizes.items()))


def _kind_of(part: Path) -> str:
    if part.name in ("upper", "work", "merged", "rootfs"):
        return "files of containers"
    return "logs" if "-json.log" in part.name else "records and the rest"


def _measure(path: Path) -> int:
    try:
        return measure_directory(path) if path.is_dir() else path.lstat().st_size
    except FileNotFoundError:  # replaced just now
        return 0
