"""Errors, ranges and pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.registry.protocol import (
    RegistryError, parse_byte_range, parse_chunk_range, parse_content_range, parse_errors, parse_next_link, parse_query, render_error,
    render_next_link,
)  # fmt: skip

RANGES = {
    "bytes=500-1499": (500, 1499), "bytes=500-": (500, 2047), "bytes=-500": (1548, 2047), "bytes=2000-5000": (2000, 2047),
    "bytes=-5000": (0, 2047), "bytes=0-0": (0, 0), "bytes=-": None, "lines=1-2": None, "bytes=1-2,4-5": None, "": None,
}  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), RANGES.items(), ids=repr)
def test_byte_range_is_cut_to_what_there_is(header: str, expected: tuple[int, int] | None) -> None:
    """RFC 9110: an end behind the end is the end; what a server does not understand it may ignore, and sends the whole."""
    assert parse_byte_range(header, 2048) == expected


@pytest.mark.parametrize("header", ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0"])
def test_byte_range_outside_is_refused(header: str) -> None:
    """416, so that a client that resumes a finished download learns it."""
    with pytest.raises(RegistryError) as caught:
        parse_byte_range(header, 2048)
    assert caught.value.status == 416


@pytest.mark.parametrize(("header", "expected"), {"0-99": (0, 99), "bytes 5-9/*": (5, 9), "bytes=5-9": (5, 9), "9-5": None, "-5": None, "x": None}.items())
def test_chunk_range_may_have_the_words_of_a_download(header: str, expected: tuple[int, int] | None) -> None:
    """The specification writes it bare; clients that took the form of RFC 9110 are understood too."""
    assert parse_chunk_range(header) == expected


def test_content_range_says_which_part_came() -> None:
    """A client that asked for the rest must see that it is the rest."""
    assert parse_content_range("bytes 5-9/10") == (5, 9)
    assert parse_content_range("bytes */10") is None


LINKS = {
    '</v2/a/tags/list?last=x&n=2>; rel="next"': "/v2/a/tags/list?last=x&n=2",
    '<https://other/v2/a>; rel=next': "https://other/v2/a",
    '<a>; rel="prev", <b>; rel="next"': "b",
    '<a>; title="x"; rel="next"': "a",
    "": "", "<a>": "", '<a>; rel="last"': "",
}  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), LINKS.items(), ids=repr)
def test_next_page_is_found_among_links(header: str, expected: str) -> None:
    """RFC 8288 allows several links and parameters in any order."""
    assert parse_next_link(header) == expected


@given(st.dictionaries(st.sampled_from(["n", "last"]), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)))
def test_next_link_comes_back_as_the_query(query: dict[str, str]) -> None:
    """What a server writes into the link it gets back with the next request."""
    target = parse_next_link(render_next_link("/v2/_catalog", query))
    assert parse_query(target.partition("?")[2]) == query


def test_error_document_has_code_and_sentence() -> None:
    """Clients decide by the code and show the sentence."""
    assert parse_errors(render_error("DENIED", "no")) == [("DENIED", "no")]


@given(st.binary(max_size=200))
def test_answer_that_is_no_error_document_is_none(body: bytes) -> None:
    """A proxy in between answers in HTML; that must not become another failure."""
    assert isinstance(parse_errors(body), list)


@pytest.mark.parametrize("body", [b'{"errors":{}}', b'{"errors":[1]}', b"[]", b'{"errors":[{"code":1}]}', b"[" * 100_000])
def test_odd_error_documents_do_no_harm(body: bytes) -> None:
    """The peer may be anything."""
    assert all(isinstance(code, str) for code, _ in parse_errors(body))
