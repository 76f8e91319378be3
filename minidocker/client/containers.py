"""The containers of a server: list, make, run. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.client.container import Container, Finished
from minidocker.client.fields import map_at, maps_at, number_at, text_at
from minidocker.client.transport import render_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minidocker.client.transport import Filters, Transport
    from minidocker.spec.record import Json

__all__ = ["Containers"]


class Containers:
    """The containers of a server."""

    def __init__(self, api: Transport) -> None:
        """Ask through *api*."""
        self._api = api

    def list(self, *, all: bool = False, filters: Filters | None = None) -> list[dict[str, Json]]:
        """Return the running containers, or *all*, as `docker ps` does."""
        return maps_at(self._api.get("/containers/json", {"all": "1" if all else "0", **render_filters(filters)}))

    def get(self, name: str) -> Container:
        """Return the container with a name or an id, or the beginning of one.

        Raises:
            DaemonError: there is none (404).
        """
        return Container(self._api, text_at(self._api.get(f"/containers/{name}/json"), "Id"))

    def create(
        self, image: str, command: Sequence[str] = (), *, name: str = "", environment: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None, tty: bool = False, stdin: bool = False, platform: str = "",
        host: Mapping[str, Json] | None = None, **settings: Json,
    ) -> Container:  # fmt: skip
        """Return a new container of *image*, not yet started.

        Args:
            image: it must be there; `images.pull` gets it.
            command: instead of the image's.
            name: of the container; the server finds one.
            environment: variables besides the image's.
            labels: to find it again.
            tty: give it a terminal.
            stdin: keep its input open, for `attach`.
            platform: such as `linux/arm64`.
            host: the API's `HostConfig`: `{"Binds": ["/srv:/data"], "Memory": 64 << 20}`.
            settings: any other field of the API's request: `User="nobody"`, `WorkingDir="/tmp"`.

        Raises:
            DaemonError: no such image (404), the name is taken (409), or the settings contradict each other (400).
        """
        body: dict[str, Json] = {"Image": image, "Tty": tty, "OpenStdin": stdin, "StdinOnce": stdin, "HostConfig": dict(host or {}), **settings}
        if command:
            body["Cmd"] = [*command]
        if environment:
            body["Env"] = [f"{key}={value}" for key, value in environment.items()]
        if labels:
            body["Labels"] = dict(labels)
        query: dict[str, str | list[str]] = {**({"name": name} if name else {}), **({"platform": platform} if platform else {})}
        return Container(self._api, text_at(self._api.post("/containers/create", query, body), "Id"))

    def run(self, image: str, command: Sequence[str] = (), *, input: bytes = b"", keep: bool = False, **settings: Json) -> Finished:
        """Run a command in a new container to its end, and remove the container unless it is to be *kept*.

        *input* goes to its standard input; *settings* are those of `create`.
        """
        container = self.create(image, command, stdin=bool(input), **settings)  # type: ignore[arg-type]  # named as in `create`
        try:
            with container.attach(stdin=bool(input)) as attached:
                ended = container.begin_wait("next-exit")
                container.start()
                stdout, stderr = attached.read(input)
            return Finished(number_at(ended.json(), "StatusCode"), stdout, stderr)
        finally:
            if not keep:
                container.remove(force=True, volumes=True)

    def prune(self, filters: Filters | None = None) -> dict[str, Json]:
        """Remove all stopped containers; return which, and how much space that gave."""
        return map_at(self._api.post("/containers/prune", render_filters(filters)))
