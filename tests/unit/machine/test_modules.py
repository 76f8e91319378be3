"""The order in which the modules of a kernel are loaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.machine.modules import Module, module_name, plan_loading

NAMES = [f"m{number}" for number in range(12)]
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4))


def make_modules(graph: dict[str, list[str]]) -> dict[str, Module]:
    """Return modules whose needs are *graph*."""
    return {name: Module(name=name, depends=tuple(needs)) for name, needs in graph.items()}


@given(GRAPHS.map(lambda graph: {name: [n for n in needs if n < name] for name, needs in graph.items()}), st.lists(st.sampled_from(NAMES)))
def test_module_comes_after_what_it_needs(graph: dict[str, list[str]], wanted: list[str]) -> None:
    """The kernel refuses a module whose symbols nobody has: everything is there once, and in time."""
    order = plan_loading(wanted, make_modules(graph))
    assert len(set(order)) == len(order)
    assert {name for name in wanted if name in graph} <= set(order)
    for place, name in enumerate(order):
        assert {needed for needed in graph[name] if needed in graph} <= set(order[:place])


@given(GRAPHS, st.lists(st.sampled_from(NAMES)))
def test_circle_of_modules_ends(graph: dict[str, list[str]], wanted: list[str]) -> None:
    """No kernel has one; a damaged package must not keep us busy for ever."""
    assert set(plan_loading(wanted, make_modules(graph))) <= set(graph)


def test_name_of_a_module_has_underscores() -> None:
    """Files are called one way, the kernel says the other."""
    assert module_name("lib/modules/6.1/kernel/net/nf-tables.ko.xz") == "nf_tables"
    assert plan_loading(["nf-tables"], make_modules({"nf_tables": []})) == ("nf_tables",)
