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
    assert caught.value.message == message


POSITIONS = [
    ("", 0, "the name is empty"), ("a b", 1, "character 2, ` `, cannot stand there"), ("team/FooBar", 5, "character 6, `F`, cannot stand there"),
    ("Foo", 0, "character 1, `F`, cannot stand there"), ("a___b", 3, "character 4, `_`, cannot stand there"),
    ("a//b", 2, "character 3, `/`, cannot stand there"), ("a:", 2, "something is missing after character 2, `:`"),
    ("a:b:c", 3, "character 4, `:`, cannot stand there"), ("a/", 2, "something is missing after character 2, `/`"),
    ("x_y.example:5a/app", 1, "character 2, `_`, cannot stand there"), ("x.example/a%b", 11, "character 12, `%`, cannot stand there"),
    ("a:" + "t" * 129, 130, "character 131, `t`, cannot stand there"), ("a@sha256:12x", 11, "character 12, `x`, cannot stand there"),
    ("a@", 2, "something is missing after character 2, `@`"), ("https://a/b", 5, "character 6, `:`, cannot stand there"),
    ("a" * 250, 237, "with its registry it has 268: leave out 13"), ("x.example/A:1", 10, "character 11, `A`, cannot stand there"),
    ("a@sha256:" + "f" * 65, 73, "character 74, `f`, cannot stand there"), ("x.Foo/Foo:Foo", 6, "character 7, `F`, cannot stand there"), ("docker.io/a%", 11, "character 12, `%`, cannot stand there"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "position", "hint"), POSITIONS, ids=[name[0][:20] or "empty" for name in POSITIONS])
def test_hint_points_at_the_character(text: str, position: int, hint: str) -> None:
    """"invalid reference format" leaves one to compare a long name with a grammar; the hint says where to look."""
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert (caught.value.position, caught.value.hint) == (position, hint)


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


@given(st.text(max_size=30) | st.text("aF0.-_/:@[]%", max_size=30) | st.text("ab/.", min_size=230, max_size=270))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """Nothing else may escape, what is accepted is safe to be part of a path or a header, and a mistake lies inside the text."""
    refusal = None
    try:
        reference = parse_reference(text)
    except InvalidReference as error:
        refusal = error
    if refusal is not None:
        assert 0 <= refusal.position <= len(text)
        assert refusal.hint
        return
    assert reference.canonical.isascii()
    assert ".." not in reference.path.split("/")
