"""The kernel's mount table: parsed, and printed again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.mountinfo import MountInfo, parse_mountinfo, render_mountinfo

PATHS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20).map(lambda text: "/" + text.replace("/", "_"))
WORDS = st.from_regex(r"[a-z0-9=:]{1,8}", fullmatch=True)


@given(
    st.lists(
        st.builds(
            MountInfo, mount_id=st.integers(0, 10**6), parent_id=st.integers(0, 10**6), device=st.just("0:22"), root=PATHS,
            mount_point=PATHS, options=st.lists(WORDS, min_size=1).map(tuple), propagation=st.lists(WORDS).map(tuple),
            fstype=WORDS, source=PATHS, super_options=st.lists(WORDS, min_size=1).map(tuple),
        )
    ).map(tuple)
)  # fmt: skip
def test_mount_table_printed_and_parsed_is_the_same(mounts: tuple[MountInfo, ...]) -> None:
    """Blanks, tabs, newlines and backslashes in a path travel as octal escapes, so that one mount stays one line."""
    assert all(" " not in m.mount_point or "\\040" in render_mountinfo((m,)) for m in mounts)
    assert parse_mountinfo(render_mountinfo(mounts)) == mounts


def test_line_that_is_no_mount_is_refused() -> None:
    """A table that cannot be read must not pass for an empty one."""
    with pytest.raises(ValueError, match="not a mountinfo line"):
        parse_mountinfo("nonsense\n")
