"""Requests read by Docker's rules."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.api.application import parse_query
from minidocker.api.request import (
    MAX_JSON_BYTES,
    Request,
    parse_filters,
    parse_timestamp_ns,
    query_flag,
    query_int,
    query_time_ns,
    read_json,
)
from minidocker.errors import InvalidParameter


def make_request(*, query: str = "", body: bytes | None = None, content_type: str | None = "application/json") -> Request:
    """Return a request with *query* and *body*, as the connection would give it."""
    headers = {} if content_type is None else {"content-type": content_type}
    if body is not None:
        headers["content-length"] = str(len(body))
    return Request(
        method="POST", path="/", body=io.BytesIO(body or b""), client_fd=-1, version=(1, 50), headers=headers,
        query=parse_query(query),
    )  # fmt: skip


FLAGS = [("", False), ("a=", False), ("a=0", False), ("a=no", False), ("a=FALSE", False), ("a=None", False), ("a=1", True),
         ("a=True", True), ("a=yes", True), ("a=2", True), ("a=anything", True)]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), FLAGS, ids=[query for query, _ in FLAGS])
def test_flag_is_true_unless_it_is_a_word_for_false(query: str, expected: bool) -> None:
    """Docker sends `1`, docker-py sends `True`; both mean it."""
    assert query_flag(make_request(query=query), "a") is expected


FILTERS = [
    ("", {}),
    ("{}", {}),
    ('{"label": ["a=b", "c"]}', {"label": ("a=b", "c")}),
    ('{"label": {"a=b": true, "c": true}}', {"label": ("a=b", "c")}),
    ('{"label": {"a": false}}', {"label": ()}),
]


@pytest.mark.parametrize(("text", "expected"), FILTERS, ids=[text or "empty" for text, _ in FILTERS])
def test_filters_are_read_in_both_forms(text: str, expected: dict[str, tuple[str, ...]]) -> None:
    """The list is today's form; docker 28 still sends the older one, a set of words."""
    assert parse_filters(text) == expected


@pytest.mark.parametrize("text", ["[", "[]", '"a"', '{"a": "b"}', '{"a": [1]}', '{"a": null}', "NaN", '{"a":' * 5000])
def test_filters_in_another_form_are_refused(text: str) -> None:
    """A filter that was not understood must not select everything."""
    with pytest.raises(InvalidParameter):
        parse_filters(text)


def test_json_body_is_read() -> None:
    """The content type may carry a charset."""
    assert read_json(make_request(body=b' {"A": 1}\n', content_type="application/json; charset=utf-8")) == {"A": 1}


BAD_BODIES = {
    "another content type": (b"{}", "text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"),
    "no content type": (b"{}", None, "unsupported Content-Type header (): must be 'application/json'"),
    "nothing": (b"", "application/json", "got EOF while reading request body"),
    "cut off": (b'{"A": ', "application/json", "invalid JSON"),
    "something after it": (b"{} {}", "application/json", "invalid JSON"),
    "not a number": (b'{"A": NaN}', "application/json", "NaN is no JSON"),
    "no UTF-8": (b'{"A": "\xff"}', "application/json", "invalid JSON"),
    "nested too deeply": (b"[" * 100_000, "application/json", "nested too deeply"),
    "too long": (b" " * (MAX_JSON_BYTES + 1), "application/json", "longer than"),
}


@pytest.mark.parametrize(("body", "content_type", "text"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_body_that_is_no_json_document_is_refused(body: bytes, content_type: str | None, text: str) -> None:
    """A body is one JSON document with its content type, or an error that names the reason."""
    with pytest.raises(InvalidParameter) as caught:
        read_json(make_request(body=body, content_type=content_type))
    assert text in str(caught.value)


@given(st.binary(max_size=100))
def test_body_of_garbage_raises_only_our_error(garbage: bytes) -> None:
    """Whatever a client sends, the answer is a 400."""
    try:
        read_json(make_request(body=garbage), optional=True)
    except InvalidParameter:
        return


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", None])
def test_missing_body_is_nothing_where_it_is_optional(content_type: str | None) -> None:
    """Docker attaches with `Content-Type: text/plain` and no body; that is no error."""
    assert read_json(make_request(content_type=content_type), optional=True) is None


TIMES = [("1", 1_000_000_000), ("1.5", 1_500_000_000), ("1.000000001", 1_000_000_001), ("-1.5", -1_500_000_000), ("1.0000000019", 1_000_000_001),
         ("1970-01-01T00:00:02Z", 2_000_000_000), ("1970-01-01T01:00:02+01:00", 2_000_000_000)]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TIMES, ids=[text for text, _ in TIMES])
def test_time_is_seconds_with_a_fraction_or_rfc_3339(text: str, expected: int) -> None:
    """Nanoseconds are kept exactly: a float would lose them."""
    assert parse_timestamp_ns(text) == expected


@pytest.mark.parametrize("text", ["x", "1.x", "yesterday", "1.5.5"])
def test_time_in_another_form_is_refused(text: str) -> None:
    """`--since yesterday` is turned into a number by the client, or is a mistake."""
    with pytest.raises(InvalidParameter):
        parse_timestamp_ns(text)


@pytest.mark.parametrize("query", ["", "since=", "since=0"])
def test_time_zero_is_no_time(query: str) -> None:
    """docker-py sends `since=0` for "from the beginning"."""
    assert query_time_ns(make_request(query=query), "since") is None


def test_number_that_is_none_is_refused() -> None:
    """`limit=many` must not become zero."""
    with pytest.raises(InvalidParameter, match="is no number"):
        query_int(make_request(query="limit=many"), "limit", 0)
    assert query_int(make_request(query="limit=-1"), "limit", 0) == -1


def test_query_keeps_repeated_names_in_order() -> None:
    """`GET /images/get` names an image with each `names`."""
    assert parse_query("names=b&names=a&x=%2F+1&empty=") == {"names": ("b", "a"), "x": ("/ 1",), "empty": ("",)}
