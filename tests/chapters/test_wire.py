"""The plain data between tests and the learner's code: everything ours arrives, nothing else does."""

from __future__ import annotations

import ipaddress
import json
import math
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chapters import wire
from minidocker.container.host import EXAMPLE_HOST
from minidocker.errors import InvalidParameter, MinidockerError
from minidocker.kernel.flags import Clone
from minidocker.kernel.steps import Mount
from minidocker.spec.container import HostConfig

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=20,
)


def travel(value: Any) -> Any:
    """Send a value through the pipe."""
    return wire.decode(json.loads(json.dumps(wire.encode(value))), lambda _number, kind: kind)


def is_same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of the same types all the way down."""
    return bool(repr(left) == repr(right)) and left == right


@given(PLAIN)
def test_plain_values_arrive_as_they_were(value: Any) -> None:
    """A tuple is no list and `True` is no 1: a test that says which one it wants must be able to see it."""
    assert is_same(travel(value), value)


OURS = (
    HostConfig(binds=("/a:/b",)), EXAMPLE_HOST, Clone.NEWPID | Clone.NEWNS, {1, 2}, frozenset({b"a"}), math.inf,
    ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("::1"), PurePosixPath("/etc"), (Mount(source="proc", target="/proc", why="x"),),
)  # fmt: skip


@pytest.mark.parametrize("value", OURS, ids=lambda value: type(value).__name__)
def test_values_of_the_project_arrive_as_they_were(value: object) -> None:
    """Plans and configurations are frozen records: their fields say all about them."""
    assert travel(value) == value
    assert type(travel(value)) is type(value)


class Liar:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        """Lie."""
        return True

    def __hash__(self) -> int:
        """Be of use in sets."""
        return 0


class LyingText(str):
    """Text that claims to be other text."""

    def __eq__(self, other: object) -> bool:
        """Lie."""
        return True

    def __hash__(self) -> int:
        """Be of use in sets."""
        return 0


def test_objects_that_lie_about_equality_do_not_arrive() -> None:
    """The oldest trick against a grader: an object whose `==` says yes. Here it is a number that stands for something far away."""
    kept: list[object] = []
    data = wire.encode(Liar(), lambda value: kept.append(value) or 7)  # type: ignore[func-returns-value]  # append gives None
    assert data == {"$remote": 7, "type": "Liar"}
    assert wire.decode(data, lambda number, _kind: number) == 7
    assert travel(LyingText("no")) == "no"
    assert travel(LyingText("no")) != "yes"


def test_what_cannot_travel_is_refused() -> None:
    """A test that passes an open file to the learner's code has to be written otherwise, and is told so."""
    with pytest.raises(wire.WireError, match="cannot travel"):
        wire.encode(Liar())


def test_endless_iterator_is_refused() -> None:
    """A generator arrives as a list, so one without end would fill the memory."""
    with pytest.raises(wire.WireError, match="more than"):
        wire.encode(iter(int, 1))


GARBAGE: dict[str, Any] = {
    "unknown tag": {"$pickle": "gASVAAAA"},
    "a class of Python's": {"$record": "subprocess:Popen", "fields": {"args": "true"}},
    "no record": {"$record": "minidocker.codec.tar:TarReader", "fields": {}},
    "a function": {"$record": "minidocker.image.layer:layer_name", "fields": {}},
    "a class through another module": {"$record": "minidocker.image.layer:InvalidParameter", "fields": {}},
    "a field that is not there": {"$record": "minidocker.spec.container:HostConfig", "fields": {"nonsense": 1}},
    "a module with a path": {"$record": "minidocker.../etc:X", "fields": {}},
    "a value that is none": {"$enum": "minidocker.codec.whiteout:Meaning", "value": "x"},
    "bytes that are none": {"$bytes": "!"},
    "a tuple that is none": {"$tuple": 5},
    "a key that cannot be one": {"$dict": [[[], 1]]},
    "nothing": {},
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused(name: str) -> None:
    """What comes out of the learner's process is believed to be nothing; only the reader decides what is built from it."""
    with pytest.raises(wire.WireError):
        wire.decode(GARBAGE[name], lambda number, _kind: number)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.sampled_from(["$tuple", "$dict", "$record", "$enum", "fields", "value"]), i), max_leaves=10))
def test_no_message_breaks_the_reader(data: Any) -> None:
    """Any JSON either is a value or raises the module's own error."""
    try:
        wire.decode(data, lambda number, _kind: number)
    except wire.WireError:
        pass


ERRORS = (
    InvalidParameter("bad port", hint="use another"), ValueError("x"), KeyError("k"), FileNotFoundError(2, "No such file", "/etc/x"), OSError(40, "loop"),
    ZeroDivisionError("division by zero"),
)  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_arrive_as_what_they_are(error: Exception) -> None:
    """So that `pytest.raises` means the same as it would without a pipe between."""
    arrived = wire.decode_error(json.loads(json.dumps(wire.encode_error(error))))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    if isinstance(error, MinidockerError):
        assert isinstance(arrived, MinidockerError)
        assert arrived.hint == error.hint


def test_errors_of_the_learners_own_arrive_as_none_of_ours() -> None:
    """A class called `InvalidParameter` that the learner wrote is another class."""

    class InvalidParameter(Exception):
        pass

    assert wire.decode_error(wire.encode_error(InvalidParameter("x"))) is None
    assert wire.decode_error({"type": "builtins:SystemExit", "args": [0], "attributes": {}, "text": ""}) is None
