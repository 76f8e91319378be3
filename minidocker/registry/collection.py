"""Garbage collection of our own registry: what no manifest needs goes.

Acting. Mark: every manifest of every repository, and what it is made of. Sweep: marks of blobs that no manifest of their repository
needs, then bytes that no repository has. What is younger than a while stays, because a push brings its blobs before the manifest
that names them, and one that exists already is only asked for. Changes wait meanwhile (`Storage.exclusive`). Chapter 8.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from minidocker.registry.documents import parse_document, referenced_digests
from minidocker.registry.protocol import RegistryError
from minidocker.registry.uploads import STALE_S

if TYPE_CHECKING:
    from pathlib import Path

    from minidocker.registry.storage import Storage

__all__ = ["GRACE_S", "Collected", "collect_garbage", "compute_untagged"]

GRACE_S: Final = 3600.0
"""How young a blob may be without a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What went."""

    manifests: tuple[str, ...] = ()
    """`repository@digest` of each manifest without a tag."""
    blobs: tuple[str, ...] = ()
    freed_bytes: int = 0


def compute_untagged(manifests: dict[str, frozenset[str]], *, tagged: frozenset[str], about: dict[str, str]) -> frozenset[str]:
    """Return which of *manifests* (digest to what it lists) no tag leads to, neither through an index nor as its subject's referrer."""
    reached: set[str] = set()
    waiting = [digest for digest in tagged if digest in manifests]
    while waiting:
        digest = waiting.pop()
        if digest in reached:
            continue
        reached.add(digest)
        waiting += [child for child in manifests[digest] if child in manifests]
        waiting += [referrer for referrer, subject in about.items() if subject == digest]
    return frozenset(manifests) - reached


def collect_garbage(
    storage: Storage, *, grace_s: float = GRACE_S, delete_untagged: bool = False, dry_run: bool = False
) -> Collected:
    """Remove what nobody needs; with *dry_run* only say what that is."""
    with storage.exclusive():
        now = time.time()
        removed: list[str] = []
        needed: set[str] = set()
        for repository in storage.find_repositories():
            kept = _read_manifests(storage, repository)
            if delete_untagged:
                untagged = _untagged(storage, repository, kept)
                removed += [f"{repository}@{digest}" for digest in sorted(untagged)]
                for digest in () if dry_run else untagged:
                    storage.remove_manifest(repository, digest)
                kept = {digest: parts for digest, parts in kept.items() if digest not in untagged}
            parts = set(kept).union(*kept.values()) if kept else set()
            needed |= parts
            for digest, path in storage.blob_marks(repository):
                if digest not in parts and not _is_young(path, now, grace_s):
                    if not dry_run:
                        path.unlink(missing_ok=True)
                else:
                    needed.add(digest)
        blobs, freed = _sweep(storage, needed, now, grace_s, dry_run=dry_run)
        for path in storage.uploads.iterdir():
            if not dry_run and not _is_young(path, now, STALE_S):
                path.unlink(missing_ok=True)
        return Collected(manifests=tuple(removed), blobs=tuple(blobs), freed_bytes=freed)


def _read_manifests(storage: Storage, repository: str) -> dict[str, frozenset[str]]:
    """Return the manifests of *repository* with the digests of what each is made of."""
    found: dict[str, frozenset[str]] = {}
    for digest in storage.list_manifests(repository):
        manifest = storage.find_manifest(repository, digest)
        if manifest is None:
            continue
        try:
            found[digest] = frozenset(part for part, _ in referenced_digests(parse_document(*manifest)))
        except RegistryError:  # damaged: it is kept as it is, with nothing
            found[digest] = frozenset()
    return found


def _untagged(storage: Storage, repository: str, manifests: dict[str, frozenset[str]]) -> frozenset[str]:
    tagged = frozenset(storage.find_tag(repository, tag) for tag in storage.list_names(repository, after="", limit=1 << 30)[0])
    about: dict[str, str] = {}
    for digest in manifests:
        manifest = storage.find_manifest(repository, digest)
        if manifest is not None and (subject := parse_document(*manifest).subject):
            about[digest] = subject
    return compute_untagged(manifests, tagged=tagged, about=about)


def _sweep(
    storage: Storage, needed: set[str], now: float, grace_s: float, *, dry_run: bool
) -> tuple[list[str], int]:
    blobs: list[str] = []
    freed = 0
    for algorithm in ("sha256", "sha512"):
        directory = storage.root / "blobs" / algorithm
        for name in sorted(os.listdir(directory)):
            path, digest = directory / name, f"{algorithm}:{name}"
            if digest in needed or _is_young(path, now, grace_s):
                continue
            blobs.append(digest)
            freed += path.stat().st_size
            if not dry_run:
                path.unlink(missing_ok=True)
    return blobs, freed


def _is_young(path: Path, now: float, grace_s: float) -> bool:
    try:
        return path.stat().st_mtime > now - grace_s
    except FileNotFoundError:
        return False
