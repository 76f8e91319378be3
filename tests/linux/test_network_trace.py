"""`network trace`: what the model says of a packet is what becomes of a real one.

A packet is traced and then really sent, by a program in a container or on the host. It arrives if the trace ends in "delivered", and
the kernel's counters rise at just those rules of ours that the trace lists.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root", "nft", "ip")

LISTEN = "while true; do echo hello | nc -l -p 80; done"


class Place:
    """Two networks with containers that say hello on port 80, and an internal one."""

    def __init__(self, server: Server) -> None:
        """Start them."""
        self.server = server
        self.names = {role: server.new_name() for role in ("web", "near", "far", "vault", "other", "inner")}
        n = self.names
        for words in (["network", "create", n["other"]], ["network", "create", "--internal", n["inner"]]):
            assert server.run(*words).returncode == 0
        for role, options in (("web", ["-p", "8087:80"]), ("near", []), ("far", ["--network", n["other"]]), ("vault", ["--network", n["inner"]])):
            result = server.run("run", "-d", "--name", n[role], *options, "toolbox", "sh", "-c", LISTEN)
            assert result.returncode == 0, result.stderr
        self.table = re.findall(r"table inet (\S+)", server.run("network", "rules").stdout)[0]
        self.addresses = {role: self._address(role) for role in ("web", "near", "far", "vault")}
        self.host_address = "172.31.255.1"
        subprocess.run(["ip", "address", "add", f"{self.host_address}/32", "dev", "lo"], check=True)

    def _address(self, role: str) -> str:
        networks = self.server.inspect(self.names[role])["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def close(self) -> None:
        """Remove everything."""
        subprocess.run(["ip", "address", "del", f"{self.host_address}/32", "dev", "lo"], check=True)
        self.server.run("rm", "-f", *(self.names[role] for role in ("web", "near", "far", "vault")))
        self.server.run("network", "rm", self.names["other"], self.names["inner"])

    def send(self, source: str, address: str, port: int, *, tries: int) -> bool:
        """Connect for real and return whether anybody says hello; more than once where a listener may just be starting again."""
        for _ in range(tries):
            words = ["sh", "-c", f"nc -w {tries} {address} {port} < /dev/null"]
            if source == "host":
                result = subprocess.run(["busybox", *words], capture_output=True, text=True, timeout=60, check=False)
            else:
                result = self.server.run("exec", self.names[source], *words)
            if "hello" in result.stdout:
                return True
        return False

    def counters(self) -> dict[str, int]:
        """Return packets counted, by the comment of the rule."""
        text = subprocess.run(["nft", "list", "table", "inet", self.table], capture_output=True, text=True, timeout=60, check=True).stdout
        found: dict[str, int] = {}
        for packets, comment in re.findall(r'counter packets (\d+) .*comment "([^"]+)"', text):
            found[comment] = found.get(comment, 0) + int(packets)
        return found


@pytest.fixture(scope="module")
def place(server: Server) -> Iterator[Place]:
    """The networks, for all tests of this module."""
    made = Place(server)
    yield made
    made.close()


CASES = {
    "neighbours": ("near", "web", 80, True, ""),
    "another-network": ("near", "far", 80, False, "not published"),
    "back-from-the-other": ("far", "web", 80, False, "not published"),
    "internal-network": ("vault", "web", 80, False, ""),
    "into-the-internal-network": ("web", "vault", 80, False, "internal"),
    "host-to-container": ("host", "web", 80, True, ""),
    "published-on-the-hosts-address": ("host", "", 8087, True, ""),
    "nobody-listens-in-the-rules": ("near", "far", 8087, False, "not published"),
}


@pytest.mark.requires("busybox")
@pytest.mark.parametrize(("source", "target", "port", "arrives", "counted"), CASES.values(), ids=CASES)
def test_trace_says_what_becomes_of_a_packet(place: Place, source: str, target: str, port: int, arrives: bool, counted: str) -> None:
    """The fate is the same, and the rules that dropped it counted it."""
    address = place.addresses[target] if target else place.host_address
    traced = place.server.run("network", "trace", place.names.get(source, source), f"{address}:{port}")
    assert traced.returncode == 0, traced.stderr
    there = traced.stdout.partition("the answer")[0]
    assert ("=> delivered" in there) is arrives, traced.stdout
    before = place.counters()
    assert place.send(source, address, port, tries=10 if arrives else 1) is arrives, traced.stdout
    risen = {comment for comment, packets in place.counters().items() if packets > before.get(comment, 0)}
    assert risen == ({counted} if counted else set())
    assert all(f'comment "{comment}"' in there for comment in risen)
    if arrives:
        assert "the answer" in traced.stdout
        assert "=> delivered" in traced.stdout.partition("the answer")[2]
