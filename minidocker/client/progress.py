"""Read what a server reports while it works: one JSON object per line. Pure. Chapter 14."""

from __future__ import annotations

from minidocker.client.fields import text_at
from minidocker.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from minidocker.spec.record import Json

__all__ = ["read_progress"]


def read_progress(lines: Iterable[bytes]) -> Iterator[Json]:
    """Yield the objects of a progress stream, one per line.

    Raises:
        PeerError: the stream reports a failure, which comes after the status line.
    """
    import json

    for line in lines:
        if not line.strip():
            continue
        try:
            event: Json = json.loads(line)
        except ValueError as error:
            raise PeerError(f"read progress: not JSON: `{line[:60]!r}`") from error
        failure = text_at(event, "errorDetail", "message") or text_at(event, "error")
        if failure:
            raise PeerError(failure, hint=text_at(event, "hint"))
        yield event
