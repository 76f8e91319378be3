"""The stages of a Dockerfile as a graph."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.build.stages import (
    StageNode, compute_global_arguments, find_target, plan_stages, required_stages,
)  # fmt: skip
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.parser import parse_dockerfile
from minidocker.errors import InvalidParameter

SEVERAL = """\
ARG BASE=debian
FROM ${BASE}:12 AS base
FROM base AS tools
RUN make tools
FROM scratch AS docs
COPY . /docs
FROM base
COPY --from=tools /bin/tool /bin/
RUN --mount=type=bind,from=0,target=/base true
"""


def plan(text: str, **arguments: str) -> tuple[StageNode, ...]:
    """Return the stages of a Dockerfile."""
    file = parse_dockerfile(text)
    return plan_stages(file, compute_global_arguments(file, arguments, {"TARGETARCH": "amd64"}))


def test_stage_needs_its_parent_and_whatever_it_copies_from() -> None:
    """FROM, COPY --from and RUN --mount=from are the edges."""
    assert [(node.parent, set(node.needs)) for node in plan(SEVERAL)] == [(None, set()), (0, {0}), (None, set()), (0, {0, 1})]


def test_required_stages_leave_out_what_the_target_does_not_reach() -> None:
    """The classic builder ran everything above the target; a stage nobody reads costs nothing here."""
    nodes = plan(SEVERAL)
    assert required_stages(nodes, 3) == (0, 1, 3)
    assert required_stages(nodes, find_target(nodes, "docs").index) == (2,)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8))
def test_required_stages_are_closed_and_contain_the_target(parents: list[int]) -> None:
    """Whatever a required stage needs is required as well, and comes before it."""
    lines = [f"FROM {'base' if parent >= index else f's{parent}'} AS s{index}" for index, parent in enumerate(parents)]
    nodes = plan("\n".join(lines))
    found = required_stages(nodes, len(nodes) - 1)
    assert found[-1] == len(nodes) - 1
    assert all(need in found and need < index for index in found for need in nodes[index].needs)


def test_from_sees_only_arguments_before_the_first_stage() -> None:
    """A global ARG has its default, unless --build-arg says otherwise; the platforms need no ARG."""
    assert plan(SEVERAL)[0].stage.base.image == "debian:12"
    assert plan(SEVERAL, BASE="alpine")[0].stage.base.image == "alpine:12"
    assert plan("FROM base-$TARGETARCH")[0].stage.base.image == "base-amd64"


def test_of_two_stages_with_one_name_the_later_is_meant() -> None:
    """Docker allows it; a reference takes the nearest above."""
    nodes = plan("FROM a AS x\nFROM b AS x\nFROM c\nCOPY --from=x / /")
    assert nodes[2].needs == {1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FROM a\nCOPY --from=later / /\nFROM b AS later", "refers to a stage that comes later"),
        ("FROM a AS self\nCOPY --from=self / /", "refers to the stage itself"),
        ("FROM a\nCOPY --from=1 / /\nFROM b", "there is no stage 1 above"),
        ("FROM $NOTHING", "should not be blank"),
        ("FROM a\nCOPY --from=$X / /", "variable expansion is not supported"),
    ],
    ids=["forward", "self", "number", "blank base", "variable"],
)
def test_stage_that_refers_to_what_is_not_above_is_refused_with_its_line(text: str, problem: str) -> None:
    """A graph that is read from top to bottom can have no circle; the message names the line."""
    with pytest.raises(DockerfileError, match=problem) as caught:
        plan(text)
    assert "Dockerfile:" in str(caught.value)


def test_target_that_does_not_exist_is_refused_with_a_suggestion() -> None:
    """A typing error in --target should not build the wrong thing."""
    with pytest.raises(InvalidParameter, match=r"failed to reach build target tols.*did you mean tools"):
        find_target(plan(SEVERAL), "tols")
    assert find_target(plan(SEVERAL), "1").stage.name == "tools"
    assert find_target(plan(SEVERAL), "").index == 3
