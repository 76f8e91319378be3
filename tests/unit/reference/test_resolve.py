"""What people type means one image, whichever way they write it; `chapters/06-tag` has the examples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.reference.reference import parse_reference
from minidocker.reference.resolve import resolve_name

WORDS = st.sampled_from(["shop", "cafe", "team/shop", "x.example/shop", "shop:1", "abc:2", "shop@sha256:" + "e" * 64])
IDS = st.integers(0, 16**64 - 1).map(lambda number: f"sha256:{number:064x}")


@given(st.dictionaries(WORDS, IDS), st.sets(IDS))
def test_every_form_of_a_name_means_its_image(given_names: dict[str, str], others: set[str]) -> None:
    """Whatever ids there are besides: nobody can take a name's meaning away with an image that has an unlucky id."""
    by_name = {parse_reference(text).canonical: image_id for text, image_id in given_names.items()}
    for text, image_id in given_names.items():
        reference = parse_reference(text)
        for form in (text, reference.familiar, reference.canonical):
            assert resolve_name(form, by_name, others | set(given_names.values())) == image_id


@given(IDS, st.dictionaries(WORDS, IDS))
def test_whole_id_means_its_image_whatever_the_names(image_id: str, given_names: dict[str, str]) -> None:
    """With the algorithm in front of it or without."""
    by_name = {parse_reference(text).canonical: other for text, other in given_names.items()}
    ids = {image_id, *given_names.values()}
    assert resolve_name(image_id, by_name, ids) == resolve_name(image_id.removeprefix("sha256:"), by_name, ids) == image_id
