"""`network trace` on a described host: what is asked, what is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minidocker.container.record import ContainerRecord, NetworkEndpoint, PublishedPort
from minidocker.engine.endpoint import EXAMPLE_ENDPOINT
from minidocker.engine.packet_model import Model, add_container, render_trace
from minidocker.errors import InvalidParameter
from minidocker.network.bridge import Bridge
from minidocker.network.rules import Forward, plan_table
from minidocker.simulator.machine import EXAMPLE_FACTS, boot
from minidocker.spec.container import ContainerConfig, HostConfig

BRIDGE = Bridge(name="minidocker0", subnet="172.17.0.0/16", gateway="172.17.0.1")
FORWARD = Forward(protocol="tcp", host_ip="", host_port=8080, container_ip="172.17.0.2", container_port=80)


def record(name: str, endpoint: NetworkEndpoint) -> ContainerRecord:
    """Return a container in one network."""
    return ContainerRecord(
        id=(name * 64)[:64], name=name, created="", image_id="", config=ContainerConfig(), host_config=HostConfig(), endpoints=(endpoint,)
    )


@pytest.fixture
def model() -> Model:
    """A host with two containers, one of which publishes a port."""
    linux, pid = boot(EXAMPLE_FACTS)
    number, net = linux.net_of(pid)
    host = Model(linux=linux.with_namespace(number, replace(net, tables=(plan_table("t", (BRIDGE,), (FORWARD,)),))), monitor=pid)
    web = replace(EXAMPLE_ENDPOINT, ports=(PublishedPort(container_port=80, protocol="tcp", host_ip="", host_port=8080),))
    other = replace(EXAMPLE_ENDPOINT, address="172.17.0.3", mac_address="02:42:ac:11:00:03", host_link="veth1", endpoint_id="e")
    return add_container(add_container(host, record("web", web)), record("db", other))


def test_way_and_answer_are_shown_line_by_line(model: Model) -> None:
    """Whose namespace, which hook, which rule, what became of the packet; then the answer, translated back."""
    text = render_trace(model, "198.51.100.7", ":8080", "tcp")
    assert text.splitlines()[0] == "tcp 198.51.100.7:40000 -> 192.0.2.10:8080"
    assert "  host             prerouting   published: meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports: now tcp 198.51.100.7:40000 -> 172.17.0.2:80\n" in text
    assert "  => delivered in web\n\nthe answer: tcp 172.17.0.2:80 -> 198.51.100.7:40000\n" in text
    assert text.endswith("  host             postrouting  the connection is known: now tcp 192.0.2.10:8080 -> 198.51.100.7:40000\n  => sent to the outside\n")


ENDS = {
    "by-name": ("db", "web:80", "=> delivered in web"),
    "by-id": ("dbdbdbdb", "webwebweb:80", "=> delivered in web"),
    "by-its-address": ("172.17.0.3", "web:80", "=> delivered in web"),
    "host-through-the-proxy": ("host", ":8080", "the proxy of `web` listens there and passes it to port 80"),
    "host-from-a-container": ("db", "host:8080", "=> delivered in host"),
    "outside": ("web", "198.51.100.7:443", "=> sent to the outside"),
    "by-hand": ("198.51.100.7", "web:80", "=> dropped in host"),
    "nobody": ("web", "172.17.0.9:80", "=> goes nowhere: nobody has the address"),
    "other-family": ("web", "[2001:db8::1]:80", "no route to 2001:db8::1"),
}


@pytest.mark.parametrize(("source", "destination", "words"), ENDS.values(), ids=ENDS)
def test_source_and_destination_have_many_names(model: Model, source: str, destination: str, words: str) -> None:
    """Containers by name, id or address, the host, and addresses outside."""
    assert words in render_trace(model, source, destination, "tcp")


MISTAKES = {
    "unknown-source": ("nosuch", ":80", "tcp", "no running container is called so"),
    "no-port": ("web", "db", "tcp", "it is CONTAINER:PORT"),
    "port-too-high": ("web", "db:70000", "tcp", "it is CONTAINER:PORT"),
    "unknown-destination": ("web", "nosuch:80", "tcp", "neither an address nor a running container"),
    "unknown-protocol": ("web", "db:80", "icmp", "there are tcp, udp and sctp"),
    "no-link-to-the-source": ("2001:db8::1", ":80", "tcp", "no link of this host leads there"),
}


@pytest.mark.parametrize(("source", "destination", "protocol", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_explained(model: Model, source: str, destination: str, protocol: str, sentence: str) -> None:
    """One sentence that says what is possible."""
    with pytest.raises(InvalidParameter, match=sentence):
        render_trace(model, source, destination, protocol)
