"""The steps that connect a container to its network: a cable, an address, a way out.

Pure, so that a plan can be shown on any system; `minidocker.engine.networks` decides what the endpoint is. Chapter 18.
"""

from __future__ import annotations

from typing import Final

from minidocker.container.record import NetworkEndpoint
from minidocker.kernel.steps import AddAddress, AddRoute, CreateVeth, SetLinkUp, Step

__all__ = ["CONTAINER_LINK", "EXAMPLE_ENDPOINT", "plan_endpoint"]

CONTAINER_LINK: Final = "eth0"
"""Name of the card inside a container."""

EXAMPLE_ENDPOINT: Final = NetworkEndpoint(
    network="bridge", network_id="", endpoint_id="", gateway="172.17.0.1", address="172.17.0.2", prefix_length=16,
    mac_address="02:42:ac:11:00:02", host_link="veth0123456", bridge="minidocker0",
)  # fmt: skip
"""The first container's place on the default bridge: what `--dry-run` assumes."""


def plan_endpoint(endpoint: NetworkEndpoint) -> tuple[Step, ...]:
    """Return the monitor's steps that connect a container; none for `host` and `none`."""
    if not endpoint.bridge:
        return ()
    return (
        CreateVeth(
            host_name=endpoint.host_link, container_name=CONTAINER_LINK, bridge=endpoint.bridge, mac_address=endpoint.mac_address,
            why="a cable: one plug in the host's bridge, the other made right inside the container",
        ),
        AddAddress(
            link=CONTAINER_LINK, address=f"{endpoint.address}/{endpoint.prefix_length}",
            why="its own address; the prefix length says who is a neighbour on the bridge",
        ),
        SetLinkUp(link=CONTAINER_LINK, why="a new card is off; a route needs it on"),
        AddRoute(gateway=endpoint.gateway, why="everybody else is reached through the host"),
    )  # fmt: skip
