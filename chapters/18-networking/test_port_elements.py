"""A published port is one element: in which set, under which key, with which value."""

from __future__ import annotations

from minidocker.network.rules import Forward


def forward(host_ip, container_ip="172.17.0.2"):
    """Port 80 of a container, published as 8080 on *host_ip*."""
    return Forward(protocol="tcp", host_ip=host_ip, host_port=8080, container_ip=container_ip, container_port=80)


def test_port_on_all_addresses_is_found_by_its_number(place_forward):
    """`-p 8080:80`: whichever address of the host a packet came to."""
    expected = ("ports", ("tcp", "8080"), ("172.17.0.2", "80"))
    assert place_forward(forward("0.0.0.0")) == expected
    assert place_forward(forward("")) == expected


def test_port_on_one_address_needs_that_address(place_forward):
    """`-p 192.0.2.1:8080:80` says nothing about the host's other addresses."""
    assert place_forward(forward("192.0.2.1")) == ("address-ports", ("192.0.2.1", "tcp", "8080"), ("172.17.0.2", "80"))


def test_port_on_loopback_is_a_port_to_close(place_forward):
    """The proxy serves it; a neighbour who sends to 127.0.0.1 by way of this host must meet a drop (CVE-2025-54388)."""
    assert place_forward(forward("127.0.0.1")) == ("loopback-ports", ("127.0.0.1", "tcp", "8080"), ())


def test_every_loopback_address_is_one(place_forward):
    """The whole of 127.0.0.0/8 is this machine."""
    assert place_forward(forward("127.0.0.53")) == ("loopback-ports", ("127.0.0.53", "tcp", "8080"), ())


def test_clients_of_the_other_family_are_the_proxys(place_forward):
    """The filter cannot turn an IPv6 packet into an IPv4 one: no set, so no element."""
    assert place_forward(forward("::"))[0] == ""
    assert place_forward(forward("2001:db8::1"))[0] == ""
    assert place_forward(forward("0.0.0.0", "fd00::2"))[0] == ""


def test_ipv6_has_maps_of_its_own(place_forward):
    """A container with an IPv6 address is reached there by the kernel's own path."""
    assert place_forward(forward("::", "fd00::2")) == ("ports6", ("tcp", "8080"), ("fd00::2", "80"))
    assert place_forward(forward("2001:db8::1", "fd00::2")) == ("address-ports6", ("2001:db8::1", "tcp", "8080"), ("fd00::2", "80"))


def test_ipv6_loopback_is_the_proxys(place_forward):
    """The kernel itself lets nobody outside send to ::1, so there is nothing to close."""
    assert place_forward(forward("::1", "fd00::2"))[0] == ""
