"""The body that `run` sends, compared with what Docker's own client sends.

`docker_bodies.json` was recorded from docker CLI 28.2.2 talking to a stub: for each command line the body of
`POST /containers/create` without zero values, or the error that it printed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from minidocker.cli.flags import UsageError, parse_flags
from minidocker.cli.run_body import Surroundings, build_create_body, read_variables
from minidocker.cli.run_flags import CREATE_FLAGS, RUN_FLAGS
from minidocker.spec.container import read_create_request

RECORDED = json.loads((Path(__file__).parent / "docker_bodies.json").read_text())
FILES = {
    "env.list": "A=1\n# comment\n\nB=two words\nFROMENV\nUNSETX\n  C=x\n",
    "label.list": "la=1\n# c\nlb\n",
    "badenv": "A B=1\n",
}
KEPT_EMPTY = ("ExposedPorts", "Volumes", "Labels", "Tmpfs")
"""Objects whose keys mean something although the values are empty."""


def read_text(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


AROUND = Surroundings({"FROMENV": "fe"}, "/home/learner", read_text)


def body_of(arguments: list[str]) -> dict[str, Any]:
    return build_create_body(parse_flags(RUN_FLAGS, arguments, interspersed=False), AROUND)


def without_zeros(value: Any, key: str = "") -> Any:
    """Return *value* without what a Go server would read as not given."""
    if isinstance(value, list):
        return [without_zeros(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, item in value.items():
        small = without_zeros(item, name)
        if key in KEPT_EMPTY or name in ("MaskedPaths", "ReadonlyPaths") or small not in (None, "", 0, False, [], {}, [0, 0]):
            kept[name] = small
    return kept


def without_defaults(body: dict[str, Any]) -> dict[str, Any]:
    small: dict[str, Any] = without_zeros(body)
    host = small["HostConfig"]
    for name, default in (("NetworkMode", "default"), ("RestartPolicy", {"Name": "no"}), ("MemorySwappiness", -1)):
        if host.get(name) == default:
            del host[name]
    for name, default in (("HostConfig", {}), ("Image", "x")):
        if small.get(name) == default:
            del small[name]
    return small


@pytest.mark.parametrize("case", [case for case in RECORDED if "body" in case], ids=lambda case: " ".join(case["arguments"]))
def test_body_is_the_one_that_docker_sends(case: dict[str, Any]) -> None:
    """Whoever knows `docker run` gets the same container: every flag ends in the same place with the same value."""
    assert without_defaults(body_of(case["arguments"])) == case["body"]


@pytest.mark.parametrize("case", [case for case in RECORDED if "error" in case], ids=lambda case: " ".join(case["arguments"]))
def test_mistake_is_worded_as_docker_words_it(case: dict[str, Any]) -> None:
    """People search the web for these sentences, so they are Docker's."""
    with pytest.raises(UsageError) as caught:
        body_of(case["arguments"])
    assert caught.value.message == case["error"]
    assert caught.value.exit_status == 125


@pytest.mark.parametrize("case", [case for case in RECORDED if "body" in case], ids=lambda case: " ".join(case["arguments"]))
def test_body_is_one_that_our_server_reads(case: dict[str, Any]) -> None:
    """Client and server share no code for this, so one must not invent what the other does not know."""
    request = read_create_request(body_of(case["arguments"]))
    assert request.config.image == case["body"].get("Image", "x")


def test_single_letter_volume_is_a_name() -> None:
    """Docker's client takes `v:/data` for a Windows drive even on Linux; here it is what it says."""
    assert body_of(["-v", "v:/data", "x"])["HostConfig"]["Binds"] == ["v:/data"]


def test_create_attaches_as_run_does() -> None:
    """`create` decides for the `start -a` that may follow."""
    options = parse_flags(CREATE_FLAGS, ["-it", "x"], interspersed=False)
    body = build_create_body(options, AROUND)
    assert [body[f"Attach{name}"] for name in ("Stdin", "Stdout", "Stderr")] == [True, True, True]


def test_variables_of_files_come_before_those_of_flags() -> None:
    """The server lets later ones win, so the command line overrides the file."""
    assert read_variables(["env.list"], ["A=2"], AROUND)[0] == "A=1"
    assert read_variables(["env.list"], ["A=2"], AROUND)[-1] == "A=2"


def test_seccomp_profile_travels_as_its_content() -> None:
    """The server may be another machine: it gets the profile, not the name of a file that it does not have."""
    around = Surroundings({}, "/", lambda path: '{ "defaultAction": "SCMP_ACT_ALLOW" }')
    options = parse_flags(RUN_FLAGS, ["--security-opt", "seccomp=p.json", "x"], interspersed=False)
    host = build_create_body(options, around)["HostConfig"]
    assert isinstance(host, dict)
    assert host["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
