"""Image names: what people type, what it means, and Docker's words for what it cannot mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.reference import InvalidReference, Reference, parse_reference

DIGEST = "sha256:" + "a" * 64

NAMES = [
    ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
    ("alpine:3.19", "docker.io/library/alpine:3.19", "alpine:3.19"),
    ("library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
    ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
    ("index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
    ("team/app", "docker.io/team/app:latest", "team/app:latest"),
    ("team.example/app", "team.example/app:latest", "team.example/app:latest"),
    ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
    ("localhost:5000/a/b_c:v1", "localhost:5000/a/b_c:v1", "localhost:5000/a/b_c:v1"),
    ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
    ("Registry/app", "Registry/app:latest", "Registry/app:latest"),
    (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
    (f"x.example/a:1@{DIGEST}", f"x.example/a:1@{DIGEST}", f"x.example/a:1@{DIGEST}"),
    ("a__b--c.d", "docker.io/library/a__b--c.d:latest", "a__b--c.d:latest"),
]


@pytest.mark.parametrize(("text", "canonical", "familiar"), NAMES, ids=[name[0][:40] for name in NAMES])
def test_name_gets_dockers_defaults(text: str, canonical: str, familiar: str) -> None:
    """Equal images must have equal names, so that what people leave out is filled in; they read the short form again."""
    reference = parse_reference(text)
    assert (reference.canonical, reference.familiar) == (canonical, familiar)


FORMAT = "invalid reference format"
INVALID = [
    ("", FORMAT), ("-a", FORMAT), ("a//b", FORMAT), ("a:", FORMAT), ("a:b:c", FORMAT), ("a@sha256:12", FORMAT), ("a@", FORMAT),
    ("a b", FORMAT), ("../a", FORMAT), ("a___b", FORMAT), ("a:" + "t" * 129, FORMAT), ("https://a/b", FORMAT), ("/a", FORMAT),
    ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
    ("team/Foo:1", "invalid reference format: repository name (team/Foo) must be lowercase"),
    ("a" * 256, "invalid reference format: repository name must not be more than 255 characters"),
    ("f" * 64, f"invalid repository name ({'f' * 64}), cannot specify 64-byte hexadecimal strings"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), INVALID, ids=[name[0][:20] or "empty" for name in INVALID])
def test_name_that_is_none_gets_dockers_words(text: str, message: str) -> None:
    """Scripts look for these words, and capital letters are the mistake that people make most."""
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert str(caught.value) == message


@given(
    st.sampled_from(["docker.io", "x.example", "localhost:5000"]),
    st.from_regex(r"[a-z0-9]{1,5}([._/-][a-z0-9]{1,5}){0,3}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True),
    st.sampled_from(["", DIGEST]),
)
def test_both_forms_of_a_name_mean_the_same(domain: str, path: str, tag: str, digest: str) -> None:
    """What is printed can be typed again."""
    path = path if "/" in path or domain != "docker.io" else f"library/{path}"
    reference = Reference(domain, path, tag, digest)
    assert parse_reference(reference.canonical) == reference
    if domain != "docker.io" or "." not in path.partition("/")[0]:  # `a.b/c` without its domain would be one itself
        assert parse_reference(reference.familiar) == reference


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """Nothing else may escape, and what is accepted is safe to be part of a path or a header."""
    try:
        reference = parse_reference(text)
    except InvalidReference:
        return
    assert reference.canonical.isascii()
    assert ".." not in reference.path.split("/")
