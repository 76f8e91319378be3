"""The small print of the distribution protocol: error documents, byte ranges, pages.

Pure. An error is JSON with a code of the specification's list, so that clients need not read the sentence. Ranges are written
in two ways: `Range: bytes=0-9` and `Content-Range: bytes 0-9/20` for a download (RFC 9110, section 14), bare `0-9` for an
upload. A list goes on at the address in `Link: <…>; rel="next"` (RFC 8288). See OCI distribution-spec 1.1. Chapter 8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, quote

from minidocker.errors import PeerError

__all__ = [
    "ERROR_STATUS", "RegistryError", "parse_byte_range", "parse_chunk_range", "parse_content_range", "parse_errors", "parse_next_link",
    "parse_query", "render_error", "render_next_link",
]  # fmt: skip

ERROR_STATUS: Final[Mapping[str, int]] = {
    "BLOB_UNKNOWN": 404, "BLOB_UPLOAD_INVALID": 416, "BLOB_UPLOAD_UNKNOWN": 404, "DIGEST_INVALID": 400, "MANIFEST_BLOB_UNKNOWN": 404,
    "MANIFEST_INVALID": 400, "MANIFEST_UNKNOWN": 404, "NAME_INVALID": 400, "NAME_UNKNOWN": 404, "SIZE_INVALID": 400,
    "TAG_INVALID": 400, "UNAUTHORIZED": 401, "DENIED": 403, "UNSUPPORTED": 405, "TOOMANYREQUESTS": 429, "RANGE_INVALID": 416,
    "PAGINATION_NUMBER_INVALID": 400,
}  # fmt: skip
"""The codes of the specification, and the status that each one comes with."""
MAX_ERROR_TEXT: Final = 300
"""How much of what a peer says is repeated in an error."""

_BYTES: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CHUNK: Final = re.compile(r"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?")
_CONTENT: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_LINK: Final = re.compile(r'<([^<>]*)>((?:\s*;\s*[a-z]+=(?:"[^"]*"|[^\s;,]+))*)')


class RegistryError(PeerError):
    """What a registry refuses, with a code of the specification."""

    def __init__(self, code: str, message: str, *, status: int = 0, hint: str = "") -> None:
        """Keep code and sentence; the status follows from the code."""
        super().__init__(message, hint=hint)
        self.code = code
        self.status = status or ERROR_STATUS.get(code, 400)


def render_error(code: str, message: str) -> bytes:
    """Return the document of one error."""
    return json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()


def parse_errors(body: bytes) -> list[tuple[str, str]]:
    """Return (code, message) of each error in an answer, nothing for an answer of another form."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    errors = document.get("errors") if isinstance(document, dict) else None
    found = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return [(str(error.get("code", ""))[:80], str(error.get("message", ""))[:MAX_ERROR_TEXT]) for error in found]


def parse_byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the (first, last) bytes that a `Range` header asks for of *size*; `None`: the whole.

    Several ranges and other units may be ignored, says the RFC, and are.

    Raises:
        RegistryError: nothing of it exists.
    """
    match = _BYTES.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first > last or first >= size:
        raise RegistryError("RANGE_INVALID", f"range `{header[:60]}` is outside of the {size} bytes that there are")
    return first, last


def parse_chunk_range(header: str) -> tuple[int, int] | None:
    """Return the (first, last) bytes of an upload's chunk, both inclusive; `None` for what is no such range."""
    match = _CHUNK.fullmatch(header.strip())
    return (int(match[1]), int(match[2])) if match and int(match[1]) <= int(match[2]) else None


def parse_content_range(header: str) -> tuple[int, int] | None:
    """Return the (first, last) bytes that an answer with status 206 holds; `None` for what is no such range."""
    match = _CONTENT.fullmatch(header.strip())
    return (int(match[1]), int(match[2])) if match else None


def render_next_link(path: str, query: Mapping[str, str]) -> str:
    """Return the `Link` header that leads to the next page."""
    words = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return f'<{path}?{words}>; rel="next"'


def parse_next_link(header: str) -> str:
    """Return the address of the next page, nothing if there is none."""
    for match in _LINK.finditer(header):
        if re.search(r'(?:^|;)\s*rel="?next"?\s*(?:;|$)', match[2]):
            return match[1]
    return ""


def parse_query(query: str) -> dict[str, str]:
    """Return the last value of each name in *query*."""
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
