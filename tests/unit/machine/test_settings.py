"""What the first process of a machine is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.machine.settings import Settings, parse_settings, render_settings

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(TEXTS, max_size=4), st.dictionaries(TEXTS, TEXTS, max_size=3), st.sampled_from([1, 2]), st.booleans())
def test_settings_arrive_as_they_were_written(command: list[str], environment: dict[str, str], version: int, keep: bool) -> None:
    """They travel as JSON in the last archive of the initramfs."""
    settings = Settings(command=tuple(command), environment=environment, cgroup_version=version, shell_on_failure=keep)
    assert parse_settings(render_settings(settings)) == settings
