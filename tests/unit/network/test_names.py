"""`/etc/hosts` and `/etc/resolv.conf`: Docker's content in Docker's order."""

from __future__ import annotations

import pytest

from minidocker.errors import InvalidParameter
from minidocker.network.names import parse_extra_host, render_hostname, render_hosts, render_resolv_conf

WELL_KNOWN_LINES = 6


@pytest.mark.parametrize(
    ("hostname", "domainname", "expected"),
    [
        ("web", "", "172.17.0.2\tweb"),
        ("web", "example.org", "172.17.0.2\tweb.example.org web"),
        ("web.example.org", "", "172.17.0.2\tweb.example.org web"),
    ],
)
def test_hosts_end_with_the_container_itself(hostname: str, domainname: str, expected: str) -> None:
    """The full name first, which is what `hostname -f` gives; then the short one."""
    text = render_hosts(hostname=hostname, domainname=domainname, addresses=["172.17.0.2"])
    assert text.splitlines()[-1] == expected
    assert text.startswith("127.0.0.1\tlocalhost\n")


def test_extra_hosts_stand_between_the_well_known_and_the_own_name() -> None:
    """Resolv takes the first line that matches: an extra host may not be shadowed by the container's own name."""
    extra = ("db:10.0.0.1", "six=[::1]", "gw:host-gateway")
    text = render_hosts(hostname="web", addresses=["172.17.0.2"], extra_hosts=extra, gateway="172.17.0.1")
    assert text.splitlines()[WELL_KNOWN_LINES:] == ["10.0.0.1\tdb", "::1\tsix", "172.17.0.1\tgw", "172.17.0.2\tweb"]


def test_hosts_of_the_hosts_network_are_the_hosts_own() -> None:
    """With `--network host` there is no address of the container's own; extra hosts are added all the same."""
    assert render_hosts(base="127.0.0.1 localhost", extra_hosts=("db:10.0.0.1",)) == "127.0.0.1 localhost\n10.0.0.1\tdb\n"
    assert render_hosts(base="") == ""


@pytest.mark.parametrize("text", ["db", ":10.0.0.1", "db:", "db:nowhere", "db:10.0.0.300"])
def test_extra_host_without_name_or_address_is_refused(text: str) -> None:
    """Docker's words begin a sentence that ends in what was wrong."""
    with pytest.raises(InvalidParameter, match="add-host"):
        parse_extra_host(text)


def test_host_gateway_without_a_gateway_is_refused() -> None:
    """`--network none` has no way to the host."""
    with pytest.raises(InvalidParameter, match="host-gateway"):
        render_hosts(extra_hosts=("gw:host-gateway",))


def test_hostname_file_is_one_line() -> None:
    """See hostname(5)."""
    assert render_hostname("web") == "web\n"


HOST = """\
# made by hand
nameserver 127.0.0.53
nameserver 192.0.2.53
nameserver ::1
nameserver fe80::1%eth0
domain old.example
search corp.example
options ndots:2
"""


def content(text: str) -> list[str]:
    """Return the lines that are no comment."""
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(
    ("host_text", "arguments", "expected"),
    [
        (HOST, {}, ["nameserver 192.0.2.53", "search corp.example", "options ndots:2"]),
        ("nameserver 127.0.0.1\n", {}, ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]),
        ("", {}, ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]),
        (HOST, {"dns": ["127.0.0.1"]}, ["nameserver 127.0.0.1", "search corp.example", "options ndots:2"]),
        (HOST, {"search": ["."], "options": ["rotate"]}, ["nameserver 192.0.2.53", "options rotate"]),
        ("nameserver 127.0.0.1\n", {"bridged": False}, ["nameserver 127.0.0.1"]),
        ("nameserver nonsense\nnameserver\n", {}, ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]),
    ],
    ids=["unreachable ones left out", "fallback", "no file", "--dns as given", "--dns-search .", "host's network", "nonsense"],
)
def test_resolv_conf_is_the_hosts_as_far_as_a_container_can_use_it(
    host_text: str, arguments: dict[str, list[str]], expected: list[str]
) -> None:
    """A loopback server is the host's own, which inside a container is the container itself; Docker then uses public ones."""
    assert content(render_resolv_conf(host_text, **arguments)) == expected  # type: ignore[arg-type]  # a table of mixed values
