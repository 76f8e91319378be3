"""`build`: what the client refuses before it sends anything."""

from __future__ import annotations

import pytest

from minidocker.cli.build import BUILD, build
from minidocker.cli.flags import parse_flags
from minidocker.cli.session import Session
from minidocker.errors import NotSupported


@pytest.mark.parametrize("flag", ["--cache-to=type=local,dest=d", "--cache-to=user/app", "--cache-from=type=local,src=d"])
def test_cache_that_is_no_image_is_refused(flag: str) -> None:
    """Passed over in silence, it would cost somebody each later build the time that the cache was to save."""
    with pytest.raises(NotSupported, match=r"only (the image|images)") as caught:
        build(Session(), parse_flags(BUILD.flags, [flag, "."]))
    assert "IMAGE" in caught.value.hint
