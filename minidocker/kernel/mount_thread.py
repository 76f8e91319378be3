"""Mounts that only one thread sees, for as long as somebody works in them.

A container that does not run has no mount namespace, but its files can be put together again: by a thread that leaves the mount
namespace of the server (unshare(2) acts on threads, not on processes), mounts what is needed and waits. The others work through
the descriptor that it opened: names below it are looked up in its mounts, whoever asks. When the thread ends, all is gone
without a trace; the host never saw any of it. See mount_namespaces(7). Chapter 16.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minidocker.kernel.flags import Clone, Mnt, Ms
from minidocker.kernel.mount import mount, umount2
from minidocker.kernel.namespaces import unshare

__all__ = ["mounted_apart"]


@contextmanager
def mounted_apart(build: Callable[[], int], *, mount_point: str) -> Iterator[int]:
    """Yield the descriptor that *build* returns; it runs in a mount namespace of its own, where it may mount.

    Args:
        build: mounts, on *mount_point* and below, and opens what shall be worked in.
        mount_point: unmounted again before this returns, so that nothing uses its layers any more.

    Raises:
        OSError: what *build* raised.
    """
    worker = _Worker(build, mount_point)
    worker.start()
    try:
        worker.ready.wait()
        if worker.error is not None:
            raise worker.error
        yield worker.fd
    finally:
        worker.done.set()
        worker.join()


class _Worker(threading.Thread):
    def __init__(self, build: Callable[[], int], mount_point: str) -> None:
        super().__init__(name="md:mounts", daemon=True)
        self._build, self._mount_point = build, mount_point
        self.ready, self.done = threading.Event(), threading.Event()
        self.fd = -1
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            unshare(Clone.NEWNS)
            mount(None, "/", flags=Ms.PRIVATE | Ms.REC)
            self.fd = self._build()
        except OSError as error:
            self.error = error
        finally:
            self.ready.set()
        self.done.wait()
        if self.fd != -1:
            os.close(self.fd)
            umount2(self._mount_point, flags=Mnt.DETACH)
