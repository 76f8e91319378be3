"""Progress streams."""

from __future__ import annotations

import pytest

from minidocker.client.progress import read_progress
from minidocker.errors import PeerError


def test_failure_in_the_progress_is_raised() -> None:
    """The status line said 200 long before."""
    with pytest.raises(PeerError, match="disk full"):
        list(read_progress([b'{"errorDetail":{"message":"disk full"},"error":"disk full"}']))


def test_line_that_is_no_json_is_refused() -> None:
    """Another program answers at that address."""
    with pytest.raises(PeerError, match="not JSON"):
        list(read_progress([b"<html>"]))
