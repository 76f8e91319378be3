"""Rtnetlink: requests carry what was asked in the kernel's layout, and descriptions are read back."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.netlink import MalformedMessage, Message, find_attribute, parse_attributes, render_attributes
from minidocker.codec.rtnetlink import (
    Ifla,
    Link,
    LinkAddress,
    Route,
    Rtm,
    add_address_request,
    add_route_request,
    change_link_request,
    create_bridge_request,
    create_veth_request,
    delete_link_request,
    get_link_request,
    parse_link,
    parse_link_address,
    parse_mac_address,
    parse_route,
)
from minidocker.errors import InvalidParameter

IFINFO_BYTES = 16
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=15).filter(lambda n: n not in (".", ".."))


@given(NAMES, st.integers(0, 9000))
def test_bridge_that_is_asked_for_reads_back_as_link(name: str, mtu: int) -> None:
    """The kernel describes a link with the attributes with which it was asked for."""
    message = create_bridge_request(name, mac_address="02:42:ac:11:00:01", mtu=mtu)
    assert parse_link(message) == Link(index=0, name=name, up=True, mac_address="02:42:ac:11:00:01", mtu=mtu, kind="bridge")


def test_veth_pair_is_one_message_with_the_peer_inside() -> None:
    """The peer is a link of its own inside the attributes: its name, its address and the namespace where it is born."""
    message = create_veth_request(
        host_name="veth1", container_name="eth0", container_netns_fd=9, bridge_index=4, mac_address="02:42:ac:11:00:02"
    )
    assert parse_link(message) == Link(index=0, name="veth1", up=True, master=4, kind="veth")
    information = parse_attributes(find_attribute(parse_attributes(message.body[IFINFO_BYTES:]), Ifla.LINKINFO) or b"")
    peer = find_attribute(parse_attributes(find_attribute(information, 2) or b""), 1) or b""
    described = parse_link(Message(type=Rtm.NEWLINK, body=peer))
    assert described == Link(index=0, name="eth0", up=False, mac_address="02:42:ac:11:00:02")
    assert find_attribute(parse_attributes(peer[IFINFO_BYTES:]), Ifla.NET_NS_FD) == struct.pack("=I", 9)


@given(st.ip_addresses(), st.data())
def test_address_that_is_asked_for_reads_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject) -> None:
    """Addresses travel in network byte order, with the prefix length beside them."""
    text = f"{address}/{data.draw(st.integers(0, address.max_prefixlen))}"
    assert parse_link_address(add_address_request(7, text)) == LinkAddress(link_index=7, address=text)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (add_route_request(gateway="172.17.0.1"), Route(destination="0.0.0.0/0", gateway="172.17.0.1")),
        (add_route_request(destination="10.0.0.0/8", gateway="172.17.0.1"), Route(destination="10.0.0.0/8", gateway="172.17.0.1")),
        (add_route_request(destination="10.1.0.0/16", link_index=3), Route(destination="10.1.0.0/16", link_index=3)),
        (add_route_request(gateway="fd00::1"), Route(destination="::/0", gateway="fd00::1")),
    ],
    ids=["default", "by gateway", "on the link", "default of IPv6"],
)
def test_route_that_is_asked_for_reads_back(message: Message, expected: Route) -> None:
    """A default route is one whose destination has no bits."""
    assert parse_route(message) == expected


def test_change_names_only_what_changes() -> None:
    """The `change` mask says which flags are meant; without it the kernel would take all of them."""
    assert struct.unpack_from("=BxHiII", change_link_request(5, mtu=1400).body)[2:] == (5, 0, 0)
    assert struct.unpack_from("=BxHiII", change_link_request(5, up=True).body)[2:] == (5, 1, 1)
    assert struct.unpack_from("=BxHiII", change_link_request(5, up=False).body)[2:] == (5, 0, 1)
    changed = parse_link(change_link_request(5, new_name="b", mac_address="02:00:00:00:00:01", master=2, alias="for people"))
    assert changed == Link(index=5, name="b", mac_address="02:00:00:00:00:01", master=2, alias="for people")
    assert parse_link(change_link_request("lo", up=True)).name == "lo"


def test_rename_by_name_is_refused() -> None:
    """One attribute holds the name that selects and the name that is new; only an index leaves room for both."""
    with pytest.raises(InvalidParameter, match="give the index"):
        change_link_request("eth0", new_name="eth1")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a:b", "sixteen-bytes-xx", "äääääääää"])
def test_link_name_that_the_kernel_would_refuse_is_refused(name: str) -> None:
    """IFNAMSIZ is 16 with the zero byte, and a name is also a directory in /sys and /proc."""
    for make in (create_bridge_request, delete_link_request, get_link_request):
        with pytest.raises(InvalidParameter, match="link name"):
            make(name)


@pytest.mark.parametrize("text", ["", "02:42", "02:42:ac:11:00:0g", "2:42:ac:11:00:02", "01:00:5e:00:00:01", "02:42:ac:11:00:02:03"])
def test_mac_address_that_no_card_can_have_is_refused(text: str) -> None:
    """Six pairs of digits, and not a group's."""
    with pytest.raises(InvalidParameter, match="MAC address"):
        parse_mac_address(text)


@pytest.mark.parametrize("text", ["", "172.17.0", "172.17.0.2/33", "eth0"])
def test_address_that_is_none_is_refused(text: str) -> None:
    """Nothing is sent to the kernel that cannot be right."""
    with pytest.raises(InvalidParameter, match="invalid address"):
        add_address_request(1, text)


def test_description_that_is_cut_off_is_refused() -> None:
    """The fixed struct must be there whole, and an address is four or sixteen bytes."""
    for parse in (parse_link, parse_link_address, parse_route):
        with pytest.raises(MalformedMessage):
            parse(Message(type=16, body=b"\0" * 7))
    address = add_address_request(1, "10.0.0.1/8")
    with pytest.raises(MalformedMessage, match="3 bytes"):
        parse_link_address(replace(address, body=address.body[:8] + render_attributes(((2, b"abc"),))))
