"""Volumes and networks through the Remote API. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.client.fields import map_at, maps_at, text_at
from minidocker.client.transport import render_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from minidocker.client.transport import Filters, Transport
    from minidocker.spec.record import Json

__all__ = ["Networks", "Volumes"]


class Volumes:
    """The volumes of a server."""

    def __init__(self, api: Transport) -> None:
        """Ask through *api*."""
        self._api = api

    def list(self, filters: Filters | None = None) -> list[dict[str, Json]]:
        """Return the volumes."""
        return maps_at(self._api.get("/volumes", render_filters(filters)), "Volumes")

    def create(self, name: str = "", *, labels: Mapping[str, str] | None = None, **settings: Json) -> dict[str, Json]:
        """Make a volume; without a *name* the server finds one."""
        return map_at(self._api.post("/volumes/create", None, {"Name": name, "Labels": dict(labels or {}), **settings}))

    def inspect(self, name: str) -> dict[str, Json]:
        """Return everything that the server knows of a volume."""
        return map_at(self._api.get(f"/volumes/{name}"))

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume and what is in it; with *force* one that does not exist is fine."""
        self._api.call("DELETE", f"/volumes/{name}", {"force": str(int(force))}).read()

    def prune(self, filters: Filters | None = None) -> dict[str, Json]:
        """Remove volumes that no container uses; return which, and how much space that gave."""
        return map_at(self._api.post("/volumes/prune", render_filters(filters)))


class Networks:
    """The networks of a server."""

    def __init__(self, api: Transport) -> None:
        """Ask through *api*."""
        self._api = api

    def list(self, filters: Filters | None = None) -> list[dict[str, Json]]:
        """Return the networks."""
        return maps_at(self._api.get("/networks", render_filters(filters)))

    def create(self, name: str, *, driver: str = "bridge", internal: bool = False, labels: Mapping[str, str] | None = None, **settings: Json) -> str:
        """Make a network and return its id; *settings* are the API's: `IPAM={"Config": [{"Subnet": "10.9.0.0/24"}]}`."""
        body: dict[str, Json] = {"Name": name, "Driver": driver, "Internal": internal, "Labels": dict(labels or {}), **settings}
        return text_at(self._api.post("/networks/create", None, body), "Id")

    def inspect(self, name: str) -> dict[str, Json]:
        """Return everything that the server knows of a network."""
        return map_at(self._api.get(f"/networks/{name}"))

    def connect(self, name: str, container: str, **endpoint: Json) -> None:
        """Plug a container in; *endpoint* is the API's `EndpointConfig`: `Aliases=["db"]`."""
        body: dict[str, Json] = {"Container": container, "EndpointConfig": dict(endpoint)}
        self._api.call("POST", f"/networks/{name}/connect", None, body).read()

    def disconnect(self, name: str, container: str, *, force: bool = False) -> None:
        """Unplug a container."""
        self._api.call("POST", f"/networks/{name}/disconnect", None, {"Container": container, "Force": force}).read()

    def remove(self, name: str) -> None:
        """Remove a network that no container uses."""
        self._api.call("DELETE", f"/networks/{name}").read()

    def prune(self, filters: Filters | None = None) -> dict[str, Json]:
        """Remove networks that no container uses; return which."""
        return map_at(self._api.post("/networks/prune", render_filters(filters)))
