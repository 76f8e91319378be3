"""Which stages a target needs."""

from __future__ import annotations

from minidocker.build.stages import StageNode
from minidocker.dockerfile.instructions import From, Stage


def _graph(*needs):
    stage = Stage(base=From(image="scratch"))
    return [StageNode(index=index, stage=stage, parent=None, needs=frozenset(below)) for index, below in enumerate(needs)]


def test_stage_without_needs_is_built_alone(required_stages):
    """FROM an image, and COPY from the context only."""
    assert required_stages(_graph((), ()), 1) == (1,)


def test_needs_of_needs_are_needed(required_stages):
    """The tool that compiles the compiler."""
    assert required_stages(_graph((), (0,), (1,), (2,)), 3) == (0, 1, 2, 3)


def test_stage_that_nobody_reads_is_left_out(required_stages):
    """Tests and documentation may be stages of the same file, and cost nothing when the program is built."""
    assert required_stages(_graph((), (), (0,), (2,)), 2) == (0, 2)


def test_shared_stage_comes_once_and_first(required_stages):
    """Two stages stand on one; it is built before both of them."""
    assert required_stages(_graph((), (0,), (0,), (2, 1)), 3) == (0, 1, 2, 3)
