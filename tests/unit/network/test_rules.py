"""The packet filter's table: the same wanted state gives the same table, and what is not published stays closed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.nftables import render_nft
from minidocker.network.bridge import plan_bridge
from minidocker.network.rules import Forward, plan_table

BRIDGE = plan_bridge("minidocker0", ())
FORWARDS = st.builds(
    Forward,
    protocol=st.sampled_from(["tcp", "udp", "sctp"]), host_ip=st.sampled_from(["", "0.0.0.0", "127.0.0.1", "192.0.2.1", "::", "::1"]),
    host_port=st.integers(1, 65535), container_ip=st.sampled_from(["172.17.0.2", "172.17.0.3"]), container_port=st.integers(1, 65535),
)  # fmt: skip


def forward(host_ip: str, *, host_port: int = 8080) -> Forward:
    """Return port 80 of a container published on *host_ip*."""
    return Forward(protocol="tcp", host_ip=host_ip, host_port=host_port, container_ip="172.17.0.2", container_port=80)


def test_bridge_without_ports_masquerades_and_lets_only_answers_in() -> None:
    """The whole table of a bridge, in nft's words."""
    assert render_nft(plan_table(BRIDGE, ())) == """\
table ip minidocker0 {
	chain published {
	}

	chain into-bridge {
		ct state established,related accept
		iifname "minidocker0" accept comment "containers of one bridge reach each other"
		counter drop comment "not published"
	}

	chain raw-prerouting {
		type filter hook prerouting priority raw; policy accept;
		iifname != "minidocker0" iifname != "lo" ip daddr 172.17.0.0/16 drop
	}

	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		iifname != "minidocker0" fib daddr type local jump published
	}

	chain nat-output {
		type nat hook output priority -100; policy accept;
		ip daddr != 127.0.0.0/8 fib daddr type local jump published
	}

	chain filter-forward {
		type filter hook forward priority filter; policy accept;
		oifname "minidocker0" jump into-bridge
	}

	chain nat-postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 oifname != "minidocker0" masquerade
	}
}
"""


def test_port_on_all_addresses_is_translated_and_let_in() -> None:
    """Two rules: the destination is rewritten, and the rewritten packet may enter the bridge."""
    text = render_nft(plan_table(BRIDGE, (forward("0.0.0.0"),)))
    assert "\t\ttcp dport 8080 dnat to 172.17.0.2:80\n" in text
    assert "\t\tip daddr 172.17.0.2 tcp dport 80 accept\n" in text


def test_port_on_one_address_is_translated_there_only() -> None:
    """`-p 192.0.2.1:8080:80` says nothing about the host's other addresses."""
    assert "\t\tip daddr 192.0.2.1 tcp dport 8080 dnat to" in render_nft(plan_table(BRIDGE, (forward("192.0.2.1"),)))


def test_port_on_loopback_is_closed_to_everybody_outside() -> None:
    """`-p 127.0.0.1:8080:80` is served by the proxy; a neighbour that routes 127.0.0.1 here by hand meets a drop first
    (CVE-2025-54388 class).
    """  # noqa: D205
    text = render_nft(plan_table(BRIDGE, (forward("127.0.0.1"),)))
    assert '\t\tiifname != "lo" ip daddr 127.0.0.1 tcp dport 8080 drop\n' in text
    assert "dnat to" not in text
    assert "tcp dport 80 accept" not in text


def test_port_on_ipv6_leaves_no_rule() -> None:
    """The container has no IPv6 address: the proxy serves those clients."""
    assert plan_table(BRIDGE, (forward("::"),)) == plan_table(BRIDGE, ())


@given(st.lists(FORWARDS, max_size=8).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_table_does_not_depend_on_the_order_of_ports(orders: tuple[list[Forward], list[Forward]]) -> None:
    """A server that starts again computes the table from its records and finds the same one."""
    assert plan_table(BRIDGE, orders[0]) == plan_table(BRIDGE, orders[1])


@given(st.lists(FORWARDS, max_size=8))
def test_table_lets_nothing_in_behind_the_last_drop(forwards: list[Forward]) -> None:
    """Whatever is published, the last word about packets into the bridge is no."""
    assert render_nft(plan_table(BRIDGE, forwards)).split("chain into-bridge {")[1].split("\t}")[0].rstrip().endswith(
        'counter drop comment "not published"'
    )
