"""`daemon.json`: the server's flags in a file, as Docker reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from minidocker.cli.daemon import DAEMON, read_daemon_options
from minidocker.cli.daemon_file import WITHOUT_EFFECT, compose_words, read_daemon_file
from minidocker.cli.flags import parse_flags
from minidocker.engine.defaults import ContainerDefaults, apply_defaults
from minidocker.engine.options import DaemonOptions
from minidocker.errors import HostError, InvalidParameter
from minidocker.spec.container import HostConfig, LogConfig, Ulimit


def options_of(tmp_path: Path, document: Any, *words: str) -> DaemonOptions:
    """Return what a server is told by a file and a command line."""
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps(document))
    return read_daemon_options(parse_flags(DAEMON.flags, [*words, f"--config-file={path}"]), 1000)


def test_file_and_command_line_add_up(tmp_path: Path) -> None:
    """What is in one is not in the other; lists, numbers, switches and objects become the flags that they are."""
    document = {
        "userns-remap": "default", "log-driver": "local", "log-opts": {"max-size": "10m", "max-file": "3"}, "insecure-registries": ["a:1", "b:2"],
        "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20, "Soft": 10}}, "default-shm-size": "1m", "mtu": 1400, "icc": False,
        "default-address-pools": [{"base": "10.20.0.0/16", "size": 24}], "default-ipc-mode": "shareable",
    }  # fmt: skip
    told = options_of(tmp_path, document, "--dns", "9.9.9.9", "-H", "tcp://127.0.0.1:1")
    assert (told.userns_remap, told.insecure_registries, told.hosts) == ("default", ("a:1", "b:2"), ("tcp://127.0.0.1:1",))
    assert told.networks is not None
    assert (told.networks.mtu, told.networks.icc, told.networks.dns, len(told.networks.pools)) == (1400, False, ("9.9.9.9",), 1)
    assert told.defaults == ContainerDefaults(
        log_driver="local", log_options={"max-size": "10m", "max-file": "3"}, ulimits=(Ulimit(name="nofile", hard=20, soft=10),),
        shm_size=1 << 20, ipc_mode="shareable",
    )  # fmt: skip


REFUSED = {
    "unknown": ({"nosuch": 1, "other": 2}, (), "the following directives don't match any configuration option: nosuch, other"),
    "twice": ({"dns": ["1.1.1.1"]}, ("--dns", "9.9.9.9"), "are specified both as a flag and in the configuration file: dns"),
    "plural-twice": ({"hosts": ["tcp://a"]}, ("-H", "tcp://b"), "are specified both as a flag and in the configuration file: hosts"),
    "no-object": ([1], (), "it is no JSON object"),
    "null": ({"bip": None}, (), "`bip` has a value that is no text"),
    "wrong-number": ({"mtu": "many"}, (), 'invalid argument "many" for "--mtu" flag'),
    "log-driver": ({"log-driver": "syslog"}, (), "error looking up logging plugin syslog"),
    "log-option": ({"log-opts": {"x": "y"}}, (), "unknown log opt 'x'"),
    "limit": ({"default-ulimits": {"nosuch": {"Hard": 1, "Soft": 1}}}, (), "invalid ulimit type: nosuch"),
    "ipc": ({"default-ipc-mode": "host"}, (), "default-ipc-mode: `host` is none of private, shareable"),
}


@pytest.mark.parametrize(("document", "words", "message"), REFUSED.values(), ids=REFUSED)
def test_file_that_says_what_cannot_be_stops_the_server(tmp_path: Path, document: Any, words: tuple[str, ...], message: str) -> None:
    """A server that passed over a wrong line would run with a safety that its administrator believes in and does not have."""
    with pytest.raises(InvalidParameter) as error:
        options_of(tmp_path, document, *words)
    assert message in error.value.message


def test_key_of_dockers_without_meaning_here_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file made for dockerd can be used, and what is not kept is said."""
    options_of(tmp_path, {"live-restore": True, "features": {"buildkit": True}})
    assert capsys.readouterr().err.count("has no effect here") == 2
    assert compose_words(dict.fromkeys(WITHOUT_EFFECT, True), path="x", given=()) == []


def test_file_that_nobody_named_need_not_be_there(tmp_path: Path) -> None:
    """The default place is looked at; a name that leads nowhere is a mistake."""
    assert read_daemon_file(str(tmp_path / "none"), is_named=False) == {}
    with pytest.raises(HostError, match="no such file or directory"):
        read_daemon_file(str(tmp_path / "none"), is_named=True)
    (tmp_path / "bad").write_text("{")
    with pytest.raises(InvalidParameter, match="unable to configure the Docker daemon"):
        read_daemon_file(str(tmp_path / "bad"), is_named=True)
    if os.name == "posix":
        with pytest.raises(HostError, match="is a directory"):
            read_daemon_file(str(tmp_path), is_named=True)


def test_container_has_the_last_word() -> None:
    """Defaults fill what is open; options of the log are for the driver that they were said of."""
    defaults = ContainerDefaults(log_driver="local", log_options={"max-size": "1m"}, ulimits=(Ulimit(name="nofile", soft=1, hard=1),), shm_size=9)
    plain = apply_defaults(HostConfig(), defaults)
    assert (plain.log_config, plain.ulimits, plain.shm_size, plain.ipc_mode) == (
        LogConfig(type="local", config={"max-size": "1m"}), defaults.ulimits, 9, "private",
    )  # fmt: skip
    own = HostConfig(log_config=LogConfig(type="json-file"), ulimits=(Ulimit(name="nofile", soft=5, hard=6),), shm_size=7, ipc_mode="none")
    said = apply_defaults(own, defaults)
    assert (said.log_config.config, said.ulimits, said.shm_size, said.ipc_mode) == ({}, own.ulimits, 7, "none")
