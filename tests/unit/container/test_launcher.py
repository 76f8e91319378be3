"""The process that every container is forked from must have everything loaded before the root changes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "minidocker"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: the launcher speaks to its kernel")
def test_every_encoding_in_use_is_loaded_before_the_fork() -> None:
    """Python imports an encoding from a file when it is first used; in a container's root there is no such file."""
    from minidocker.container.launcher import ENCODINGS

    sources = [path.read_text(encoding="utf-8") for folder in ("container", "kernel") for path in (PACKAGE / folder).glob("*.py")]
    used = {name for source in sources for name in re.findall(r'(?:encoding=|code\()"([a-z0-9-]+)"', source)}
    assert "ascii" in used
    assert used <= set(ENCODINGS)
