"""Seccomp profiles: Docker's JSON form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidocker.container.seccomp_profile import (
    Action,
    ArgumentTest,
    Comparison,
    Conditions,
    Profile,
    Rule,
    default_profile,
    parse_profile,
)
from minidocker.errors import InvalidParameter
from minidocker.spec.record import render_record

ERRNO = '"defaultAction": "SCMP_ACT_ERRNO"'


def test_profile_file_of_docker_is_read() -> None:
    """`docker run --security-opt seccomp=FILE`: every field of the form, and unknown ones are passed over."""
    text = """
    {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
     "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
     "syscalls": [
       {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "comment": "", "args": null},
       {"name": "clone", "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        "includes": {"minKernel": "4.8", "arches": ["amd64"]}, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
       {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}
    """
    assert parse_profile(text) == Profile(
        default_action=Action.ERRNO,
        default_errno_ret=38,
        syscalls=(
            Rule(names=("read", "write"), action=Action.ALLOW),
            Rule(
                name="clone",
                action=Action.ALLOW,
                args=(ArgumentTest(index=0, value=0x7E020000, op=Comparison.MASKED_EQUAL),),
                includes=Conditions(min_kernel="4.8", arches=("amd64",)),
                excludes=Conditions(caps=("CAP_SYS_ADMIN",)),
            ),
            Rule(names=("clone3",), action=Action.ERRNO, errno_ret=38),
        ),
    )


def test_default_profile_survives_being_written_and_read() -> None:
    """So it can be printed, changed and given back with `--security-opt`."""
    assert parse_profile(json.dumps(render_record(default_profile()))) == default_profile()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "decoding seccomp profile failed", id="empty"),
        pytest.param("{", "decoding seccomp profile failed", id="not-json"),
        pytest.param("[" * 100_000, "decoding seccomp profile failed", id="nested-too-deep"),
        pytest.param("[]", "must be an object", id="list"),
        pytest.param("null", "must be an object", id="null"),
        pytest.param("{}", "`defaultAction` is missing", id="nothing-in-it"),
        pytest.param('{"defaultAction": "ALLOW"}', "defaultAction", id="unknown-action"),
        pytest.param('{"defaultAction": "SCMP_ACT_NOTIFY"}', "defaultAction", id="action-that-asks-another-process"),
        pytest.param(f'{{{ERRNO}, "architectures": ["a"], "archMap": [{{}}]}}', "archMap", id="both-kinds-of-machines"),
        pytest.param(f'{{{ERRNO}, "syscalls": {{}}}}', "syscalls", id="rules-not-a-list"),
        pytest.param(f'{{{ERRNO}, "syscalls": [{{"names": ["read"]}}]}}', "action", id="rule-without-action"),
        pytest.param(f'{{{ERRNO}, "syscalls": [{{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}}]}}', "both `name`", id="named-twice"),
        pytest.param(f'{{{ERRNO}, "syscalls": [{{"action": "SCMP_ACT_ALLOW", "args": [{{"index": 6, "op": "SCMP_CMP_EQ"}}]}}]}}', "argument `6`", id="seventh-argument"),
        pytest.param(f'{{{ERRNO}, "syscalls": [{{"action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}}]}}]}}', "64 bits", id="negative-value"),
        pytest.param(f'{{{ERRNO}, "syscalls": [{{"action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "op": "=="}}]}}]}}', "op", id="unknown-comparison"),
        pytest.param(f'{{{ERRNO}, "syscalls": [{{"action": "SCMP_ACT_ALLOW", "includes": {{"minKernel": "new"}}}}]}}', "kernel version `new`", id="kernel-version"),
        pytest.param(f'{{{ERRNO}, "syscalls": [{{"action": "SCMP_ACT_ALLOW", "includes": {{"minKernel": "4.8.1"}}}}]}}', "kernel version", id="kernel-patch-level"),
    ],
)  # fmt: skip
def test_profile_that_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    """A filter that is not what its author wrote protects against nothing, so reading is strict about what it uses."""
    with pytest.raises(InvalidParameter, match=complaint):
        parse_profile(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_CMP_EQ", "4.8"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["defaultAction", "syscalls", "names", "name", "action", "args", "index", "value", "op", "includes"]),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_gives_a_profile_or_a_sentence(document: object) -> None:
    """The file comes from the command line."""
    try:
        profile = parse_profile(json.dumps(document))
    except InvalidParameter:
        return
    assert isinstance(profile, Profile)
