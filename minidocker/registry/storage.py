"""What our own registry keeps on disk: content once, and for each repository what it has of it.

Acting; safe to use from several threads. Layout below the root::

    blobs/sha256/HEX                              the bytes, shared by all repositories
    repositories/NAME/_blobs/sha256-HEX           its size: this repository has the blob
    repositories/NAME/_manifests/sha256-HEX       the media type of the manifest
    repositories/NAME/_tags/TAG                   a digest
    repositories/NAME/_referrers/SUBJECT/sha256-HEX   the line for a manifest about SUBJECT
    uploads/                                      what is being received (see `uploads`)

Names of repositories are directories; no component of a name begins with `_`, so what is ours cannot collide with them. A blob
is there for a repository only through its mark: what one repository removed is gone for it though others have it (CVE-2026-35172).
Whatever appears under a name is complete: written beside and renamed. Small files are synced as well. For a blob nobody waits until it
is on the platter, as in Docker's registry; if the power fails just then it comes back too short, its mark says so, and it counts as
missing: the next push sends it again. Chapter 8.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minidocker.kernel.durable import write_durably
from minidocker.registry.protocol import RegistryError

__all__ = ["Storage"]

_KINDS = ("_blobs", "_manifests", "_tags", "_referrers")


class Storage:
    """The files of one registry."""

    def __init__(self, root: Path) -> None:
        """Open the registry at *root*, made if missing."""
        self.root = root
        self.uploads = root / "uploads"
        self._repositories = root / "repositories"
        self._lock = threading.RLock()
        self._lists: dict[str, list[str]] = {}
        """Sorted tags by repository, and the repositories under the empty name: read once, then kept up to date."""
        for directory in (root / "blobs" / "sha256", root / "blobs" / "sha512", self.uploads, self._repositories):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    # --- content

    def blob_path(self, digest: str) -> Path:
        """Return where the bytes of *digest* are, or would be."""
        algorithm, _, digits = digest.partition(":")
        return self.root / "blobs" / algorithm / digits

    def add_blob(self, repository: str, path: Path, digest: str) -> None:
        """Take the finished file *path* as the blob *digest* of *repository*."""
        with self.shared():
            size = path.stat().st_size
            path.replace(self.blob_path(digest))
            self._mark(repository, "_blobs", _file_name(digest), str(size).encode())

    def find_blob(self, repository: str, digest: str) -> Path | None:
        """Return the file of a blob that *repository* has, whole."""
        mark, path = self._path(repository, "_blobs", _file_name(digest)), self.blob_path(digest)
        try:
            os.utime(mark)  # who was told that it is there may rely on it for a while; see `collection`
            return path if path.stat().st_size == int(mark.read_bytes()) else None
        except (FileNotFoundError, ValueError):
            return None

    def mount_blob(self, repository: str, digest: str, source: str = "") -> bool:
        """Give *repository* a blob that *source*, or any repository, has; whether one had it."""
        with self.shared():
            sources = [source] if source else self._list("")
            found = next((path for name in sources if (path := self.find_blob(name, digest))), None)
            if found is not None:
                self._mark(repository, "_blobs", _file_name(digest), str(found.stat().st_size).encode())
            return found is not None

    def remove_blob(self, repository: str, digest: str) -> bool:
        """Take a blob away from *repository*; the bytes stay until nobody has them. Whether it was there."""
        return self._unlink(self._path(repository, "_blobs", _file_name(digest)))

    # --- manifests

    def add_manifest(self, repository: str, content: bytes, *, digest: str, media_type: str) -> None:
        """Keep a manifest."""
        with self._lock:
            write_durably(self.blob_path(digest), content)
            self._mark(repository, "_manifests", _file_name(digest), media_type.encode())
            known = self._list("")
            if repository not in known:
                insort(known, repository)

    def find_manifest(self, repository: str, digest: str) -> tuple[bytes, str] | None:
        """Return (content, media type) of a manifest that *repository* has."""
        with suppress(FileNotFoundError):
            media_type = self._path(repository, "_manifests", _file_name(digest)).read_text()
            return self.blob_path(digest).read_bytes(), media_type
        return None

    def has_manifest(self, repository: str, digest: str) -> bool:
        """Whether *repository* has the manifest *digest*."""
        return self._path(repository, "_manifests", _file_name(digest)).exists()

    def list_manifests(self, repository: str) -> list[str]:
        """Return the digests of the manifests of *repository*."""
        return [_digest_of(name) for name in _names_in(self._path(repository, "_manifests"))]

    def remove_manifest(self, repository: str, digest: str) -> bool:
        """Remove a manifest and the tags that point to it; whether it was there."""
        if not self._unlink(self._path(repository, "_manifests", _file_name(digest))):
            return False
        for tag in _names_in(self._path(repository, "_tags")):
            if self.find_tag(repository, tag) == digest:
                self.remove_tag(repository, tag)
        return True

    # --- tags

    def set_tag(self, repository: str, tag: str, digest: str) -> None:
        """Let *tag* point to *digest* from now on."""
        with self._lock:
            tags = self._list(repository)
            self._mark(repository, "_tags", tag, digest.encode())
            at = bisect_right(tags, tag)
            if not (at and tags[at - 1] == tag):
                tags.insert(at, tag)

    def find_tag(self, repository: str, tag: str) -> str:
        """Return the digest that *tag* points to, nothing if there is no such tag."""
        with suppress(FileNotFoundError):
            return self._path(repository, "_tags", tag).read_text()
        return ""

    def remove_tag(self, repository: str, tag: str) -> bool:
        """Remove a tag; the manifest stays. Whether it was there."""
        with self._lock:
            tags = self._list(repository)
            if tag in tags:
                tags.remove(tag)
            return self._unlink(self._path(repository, "_tags", tag))

    def list_names(self, repository: str, *, after: str, limit: int) -> tuple[list[str], bool]:
        """Return up to *limit* tags behind *after*, and whether there are more; of the empty repository, repositories."""
        with self._lock:
            names = self._list(repository)
            start = bisect_right(names, after)
            return names[start : start + limit], start + limit < len(names)

    def has_repository(self, repository: str) -> bool:
        """Whether anything was ever pushed to *repository*."""
        return any((self._repositories / repository / kind).is_dir() for kind in _KINDS)

    # --- referrers

    def add_referrer(self, repository: str, subject: str, digest: str, line: bytes) -> None:
        """Remember that manifest *digest* is about *subject*."""
        self._mark(repository, f"_referrers/{_file_name(subject)}", _file_name(digest), line)

    def list_referrers(self, repository: str, subject: str) -> list[bytes]:
        """Return the lines for the manifests about *subject*."""
        directory = self._path(repository, "_referrers", _file_name(subject))
        return [
            (directory / name).read_bytes() for name in _names_in(directory) if self.has_manifest(repository, _digest_of(name))
        ]  # fmt: skip

    # --- what others need

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Keep the collection of garbage, in whatever process, from running meanwhile."""
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep every change of what refers to what from happening meanwhile."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        fd = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, kind)
            yield
        finally:
            os.close(fd)

    def find_repositories(self) -> list[str]:
        """Return every repository, as the disk has it now."""
        return sorted(self._find_repositories())

    def blob_marks(self, repository: str) -> list[tuple[str, Path]]:
        """Return (digest, mark) of each blob of *repository*."""
        directory = self._path(repository, "_blobs")
        return [(_digest_of(name), directory / name) for name in _names_in(directory)]

    def new_upload(self) -> str:
        """Return a fresh name for an upload."""
        return secrets.token_hex(16)

    def _path(self, repository: str, *rest: str) -> Path:
        return self._repositories.joinpath(repository, *rest)

    def _mark(self, repository: str, kind: str, name: str, content: bytes) -> None:
        path = self._path(repository, kind, name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock:
                write_durably(path, content)
        except (NotADirectoryError, FileExistsError) as error:
            raise RegistryError("NAME_INVALID", f"repository `{repository}` cannot be made: {error.strerror}") from error

    def _unlink(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _list(self, repository: str) -> list[str]:
        if repository not in self._lists:
            found = _names_in(self._path(repository, "_tags")) if repository else self._find_repositories()
            self._lists[repository] = sorted(found)
        return self._lists[repository]

    def _find_repositories(self) -> Iterator[str]:
        for directory, names, _ in os.walk(self._repositories):
            if "_manifests" in names or "_blobs" in names:
                yield str(Path(directory).relative_to(self._repositories))
            names[:] = [name for name in names if not name.startswith("_")]


def _file_name(digest: str) -> str:
    return digest.replace(":", "-")


def _digest_of(name: str) -> str:
    return name.replace("-", ":")


def _names_in(directory: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    return []
