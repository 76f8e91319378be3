"""How long the pure work of a start takes, on any system; nothing here asserts a time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from typing import TypeVar

from minidocker.cli.template import parse_template
from minidocker.codec.http1 import EndOfMessage, RequestParser
from minidocker.codec.tar import TarReader
from minidocker.container import seccomp
from minidocker.container.capabilities import compute_capabilities
from minidocker.container.host import EXAMPLE_HOST
from minidocker.container.plan import Surroundings, plan_container
from minidocker.container.record import ContainerRecord
from minidocker.container.seccomp import compile_profile, default_profile
from minidocker.spec.container import ContainerConfig, HostConfig

T = TypeVar("T")
Benchmark = Callable[[Callable[[], T]], T]
"""pytest-benchmark's fixture: calls a function many times and returns what it returned last."""

FILES = 500
FILE_BYTES = 2000


def test_seccomp_profile_compiles(benchmark: Benchmark[bytes]) -> None:
    """Docker's default profile as a filter program; a server compiles it once for each set of capabilities."""
    keep = frozenset(compute_capabilities(cap_add=(), cap_drop=(), privileged=False, last_cap=EXAMPLE_HOST.last_capability))
    profile = default_profile()

    def compile_afresh() -> bytes:
        seccomp._compile.cache_clear()
        return compile_profile(profile, capabilities=keep, machine="x86_64", kernel=(6, 1))

    assert len(benchmark(compile_afresh)) % 8 == 0


def test_container_is_planned(benchmark: Benchmark[tuple[object, ...]]) -> None:
    """The plan of a plain container."""
    record = ContainerRecord(
        id="c" * 64, name="web", created="", image_id="", layers=("a", "b"), host_config=HostConfig(),
        config=ContainerConfig(hostname="web", cmd=("sh",)),
    )  # fmt: skip
    around = Surroundings(directory="/c", layers_directory="/l", seccomp_program=b"\0" * 8)
    assert benchmark(lambda: plan_container(record, EXAMPLE_HOST, around))


def test_tar_is_read(benchmark: Benchmark[int]) -> None:
    """An archive of 500 small files, read through."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(FILES):
            entry = tarfile.TarInfo(f"directory/file-{number}")
            entry.size = FILE_BYTES
            archive.addfile(entry, io.BytesIO(b"x" * FILE_BYTES))
    content = buffer.getvalue()
    assert benchmark(lambda: sum(entry.size for entry in TarReader(io.BytesIO(content)))) == FILES * FILE_BYTES


def test_request_is_parsed(benchmark: Benchmark[int]) -> None:
    """One create request as the docker client sends it."""
    body = b'{"Image":"bench"}' * 100
    head = (
        "POST /v1.50/containers/create?name=web HTTP/1.1\r\nHost: api.moby.localhost\r\nUser-Agent: Docker-Client/28.0.0 (linux)\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n\r\n"
    )
    message = head.encode() + body

    def parse() -> int:
        parser = RequestParser()
        parser.feed(message)
        count = 1
        while not isinstance(parser.next_event(), EndOfMessage):
            count += 1
        return count

    assert benchmark(parse) >= 3


def test_template_is_filled_in(benchmark: Benchmark[str]) -> None:
    """A format of `ps`, parsed and rendered for one row."""
    row = {"ID": "0123456789ab", "Names": "web", "Labels": {"tier": "front"}}
    text = '{{.ID}} {{upper .Names}}{{range $key, $value := .Labels}} {{$key}}={{$value}}{{end}}'
    assert benchmark(lambda: parse_template(text).render(row)).endswith("tier=front")
