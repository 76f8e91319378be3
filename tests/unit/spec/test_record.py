"""Records and their JSON: what is written can be read back, and what is wrong is said with its place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.errors import InvalidParameter
from minidocker.kernel.flags import Clone
from minidocker.kernel.steps import Actor, Exec, LoadSeccomp, Mount, Step, Unshare
from minidocker.spec.container import ContainerConfig, HostConfig, PortBinding, read_create_request
from minidocker.spec.image import History, ImageConfig, RootFS
from minidocker.spec.record import json_key, read_record, render_record

WORDS = st.text(max_size=12)


@given(
    st.builds(
        HostConfig,
        binds=st.lists(WORDS).map(tuple),
        memory=st.integers(0, 2**62),
        privileged=st.booleans(),
        pids_limit=st.none() | st.integers(-1, 10**6),
        sysctls=st.dictionaries(WORDS, WORDS),
        port_bindings=st.dictionaries(WORDS, st.lists(st.builds(PortBinding, host_ip=WORDS, host_port=WORDS)).map(tuple)),
        masked_paths=st.none() | st.lists(WORDS).map(tuple),
    )
)
def test_record_rendered_and_read_back_is_the_same(config: HostConfig) -> None:
    """What is stored today is what is read tomorrow, through real JSON text."""
    assert read_record(HostConfig, json.loads(json.dumps(render_record(config)))) == config


@given(
    st.one_of(
        st.builds(Mount, source=WORDS, target=WORDS, why=WORDS),
        st.builds(LoadSeccomp, program=st.binary(max_size=64), profile=WORDS),
        st.builds(Exec, argv=st.lists(WORDS).map(tuple), env=st.just(())),
        st.just(Unshare(namespaces=Clone.NEWPID | Clone.NEWNET, actor=Actor.INIT)),
    )
)
def test_step_read_back_keeps_its_kind(step: Step) -> None:
    """A plan crosses from the server to the monitor as JSON; each step says which it is, since a tuple holds all kinds."""
    assert read_record(Step, json.loads(json.dumps(render_record(step)))) == step  # type: ignore[arg-type]  # a union


NAMES = {
    "nano_cpus": ("nano_cpus", "NanoCpus"),
    "uts_mode": ("uts_mode", "UTSMode"),
    "cidfile": ("container_id_file", "ContainerIDFile"),
    "iops": ("blkio_device_read_iops", "BlkioDeviceReadIOps"),
}


@pytest.mark.parametrize(("field_name", "key"), NAMES.values(), ids=NAMES)
def test_record_keys_are_those_of_the_remote_api(field_name: str, key: str) -> None:
    """Clients parse these names; Go's are not quite regular (`UTSMode`, but `UsernsMode`)."""
    document = render_record(HostConfig())
    assert isinstance(document, dict)
    assert key in document
    assert hasattr(HostConfig(), field_name)


def test_record_read_ignores_unknown_keys_and_null() -> None:
    """Clients newer than the server send fields that it does not know, and Go sends `null` for an empty slice."""
    config = read_record(HostConfig, {"Invented": 1, "Binds": None, "Memory": 5})
    assert config == HostConfig(memory=5)


WRONG = {
    "number": ({"HostConfig": {"Memory": "a lot"}}, "`HostConfig.Memory` must be an integer"),
    "boolean-as-number": ({"HostConfig": {"Memory": True}}, "`HostConfig.Memory` must be an integer"),
    "list": ({"Env": "A=1"}, "`Env` must be a list"),
    "element": ({"Cmd": ["sh", 7]}, "`Cmd[1]` must be a string"),
    "object": ({"Labels": ["x"]}, "`Labels` must be an object"),
    "deep": ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": 80}]}}}, "`HostConfig.PortBindings.80/tcp[0].HostPort`"),
    "body": (["not", "an", "object"], "`body` must be an object"),
}


@pytest.mark.parametrize(("body", "text"), WRONG.values(), ids=WRONG)
def test_wrong_value_is_refused_with_its_place(body: object, text: str) -> None:
    """An error that names the field saves the user a search through a hundred of them."""
    with pytest.raises(InvalidParameter) as caught:
        read_create_request(body)  # type: ignore[arg-type]  # wrong on purpose
    assert text in str(caught.value)


def test_command_given_as_text_becomes_a_list_of_one_word() -> None:
    """Docker takes `"Cmd": "date"`; it is not split, because only a shell knows how."""
    request = read_create_request({"Cmd": "echo a b", "Entrypoint": ["sh", "-c"]})
    assert request.config.cmd == ("echo a b",)
    assert request.config.entrypoint == ("sh", "-c")


def test_null_command_and_empty_command_are_different() -> None:
    """No command means the image's; an empty one takes it away."""
    assert read_create_request({"Cmd": None}).config.cmd is None
    assert read_create_request({"Cmd": []}).config.cmd == ()


def test_missing_required_field_is_named() -> None:
    """A record on disk that lacks a field was written by somebody else; say what is missing."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Pair:
        left: int
        right: int = field(default=0, metadata=json_key("Right", omit_empty=True))

    with pytest.raises(InvalidParameter, match="lacks left"):
        read_record(Pair, {"Right": 1})
    assert render_record(Pair(left=1)) == {"Left": 1}


def test_image_config_keeps_the_lower_case_names_of_the_specification() -> None:
    """The OCI image configuration writes `rootfs.diff_ids`, while the part Docker shares with it writes `Cmd`."""
    config = ImageConfig(
        architecture="amd64", config=ContainerConfig(cmd=("sh",)), rootfs=RootFS(diff_ids=("sha256:0",)),
        history=(History(created_by="RUN x", empty_layer=True),),
    )  # fmt: skip
    document = render_record(config)
    assert isinstance(document, dict)
    assert document["rootfs"] == {"type": "layers", "diff_ids": ["sha256:0"]}
    assert document["history"] == [{"created_by": "RUN x", "empty_layer": True}]
    assert read_record(ImageConfig, document) == config


def test_reading_does_not_mind_the_case_of_letters_but_prefers_the_exact_key() -> None:
    """Go's decoder, and so every Docker server, takes `detachKeys` for `DetachKeys`; clients have come to rely on it."""
    assert read_record(HostConfig, {"cpushares": 7, "MEMORY": 8}) == HostConfig(cpu_shares=7, memory=8)
    assert read_record(HostConfig, {"memory": 1, "Memory": 2}) == HostConfig(memory=2)
