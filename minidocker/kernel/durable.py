"""Files that survive a crash whole: temporary name, sync, rename; see rename(2) and fsync(2)."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_durably"]


def write_durably(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace the file at *path*: after a crash it holds the old content or the new one, never a mixture."""
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            view = memoryview(content)
            while view:  # a nearly full disk takes a part first, and refuses only then
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
