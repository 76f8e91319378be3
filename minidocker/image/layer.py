"""What a layer is: a set of changes on top of other layers, so its identity depends on them.

Pure. The *diff_id* is the digest of a layer's uncompressed archive. The *ChainID* names the result of applying a layer to the
ones below it: `ChainID(L0) = diff_id(L0)`, `ChainID(L0|…|Ln) = sha256(ChainID(L0|…|Ln-1) + " " + diff_id(Ln))`. Equal stacks
share directories, different stacks never do. See OCI image-spec, "Layer ChainID". Chapter 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from minidocker.errors import InvalidParameter
from minidocker.spec.record import json_key

__all__ = ["MAX_LAYERS", "LayerRecord", "compute_chain_ids", "layer_name"]

MAX_LAYERS: Final = 127
"""Docker's limit: mount(2) takes one page of options, and overlayfs wants all directories in it."""

NAME_DIGITS: Final = 24
"""Digits of the ChainID in a directory's name, short because of that page; the record beside it holds all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """What is known about an unpacked layer; its presence says that the unpacking was completed."""

    chain_id: str = field(metadata=json_key("chain_id"))
    diff_id: str = field(metadata=json_key("diff_id"))
    size: int = field(metadata=json_key("size"))
    """Bytes of all files in it."""


def compute_chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ChainID of each layer, lowest first.

    Raises:
        InvalidParameter: more layers than can be stacked.
    """
    if len(diff_ids) > MAX_LAYERS:
        raise InvalidParameter(f"max depth exceeded: an image has at most {MAX_LAYERS} layers, this one has {len(diff_ids)}")
    chain_ids: list[str] = []
    for diff_id in diff_ids:
        below = f"{chain_ids[-1]} {diff_id}" if chain_ids else ""
        chain_ids.append(f"sha256:{hashlib.sha256(below.encode()).hexdigest()}" if below else diff_id)
    return tuple(chain_ids)


def layer_name(chain_id: str) -> str:
    """Return the name of the directory for the layer with *chain_id*."""
    return chain_id.removeprefix("sha256:")[:NAME_DIGITS]
