"""Images through the Remote API: pull, build, push, name, remove. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.client.credentials import registry_auth
from minidocker.client.fields import map_at, maps_at, text_at
from minidocker.client.image_name import split_image_name
from minidocker.client.progress import read_progress
from minidocker.client.transport import render_filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from minidocker.client.transport import Filters, Response, Transport
    from minidocker.spec.record import Json

    Rows = list[dict[str, Json]]
    Progress = Callable[[Json], object]
    """Called with each object that the server reports: `{"status": "Downloading", "id": …, "progressDetail": …}`."""

__all__ = ["Images"]


class Images:
    """The images of a server."""

    def __init__(self, api: Transport) -> None:
        """Ask through *api*."""
        self._api = api

    def list(self, *, all: bool = False, filters: Filters | None = None) -> Rows:
        """Return the images, as `docker images` does."""
        return maps_at(self._api.get("/images/json", {"all": "1" if all else "0", **render_filters(filters)}))

    def inspect(self, name: str) -> dict[str, Json]:
        """Return everything that the server knows of an image.

        Raises:
            DaemonError: there is none (404).
        """
        return map_at(self._api.get(f"/images/{name}/json"))

    def history(self, name: str) -> Rows:
        """Return how an image was made, the last step first."""
        return maps_at(self._api.get(f"/images/{name}/history"))

    def pull(self, name: str, *, platform: str = "", on_progress: Progress | None = None) -> None:
        """Let the server download an image, with the credentials that `docker login` has kept.

        Raises:
            DaemonError, PeerError: it cannot; before or after it began.
        """
        repository, tag = split_image_name(name)
        query: dict[str, str | list[str]] = {"fromImage": repository, "tag": tag or "latest", **({"platform": platform} if platform else {})}
        _follow(self._api.open("POST", "/images/create", query, headers=registry_auth(self._api.config_directory, name)), on_progress)

    def push(self, name: str, *, on_progress: Progress | None = None) -> None:
        """Let the server upload an image to the registry that its name begins with."""
        repository, tag = split_image_name(name)
        headers = registry_auth(self._api.config_directory, name)
        _follow(self._api.open("POST", f"/images/{repository}/push", {"tag": tag or "latest"}, headers=headers), on_progress)

    def build(
        self, context: str | Iterable[bytes], *, tags: Sequence[str] = (), dockerfile: str = "", arguments: Mapping[str, str] | None = None,
        target: str = "", cached: bool = True, on_progress: Progress | None = None, **query: str,
    ) -> str:  # fmt: skip
        """Build an image and return its id.

        Args:
            context: a directory, of which `.dockerignore` leaves things out; or a tar archive in pieces.
            tags: names for the image.
            dockerfile: which one, instead of `Dockerfile`.
            arguments: values of its `ARG`s.
            target: the stage to stop at.
            cached: whether results of earlier builds are used.
            on_progress: called with what the server reports; its words are under `stream`.
            query: any other parameter of the API.

        Raises:
            PeerError: a step failed.
            DaemonError: the build could not begin.
        """
        import json

        pieces: Iterable[bytes]
        if isinstance(context, str):
            from minidocker.client.build_context import open_context

            opened = open_context(context, dockerfile)
            pieces, dockerfile = opened.pieces or (), opened.dockerfile
            if opened.remote:
                query["remote"] = opened.remote
        else:
            pieces = context
        wishes: dict[str, str | list[str]] = {"t": [*tags], "dockerfile": dockerfile or "Dockerfile", "target": target, "nocache": str(int(not cached)), **query}
        if arguments:
            wishes["buildargs"] = json.dumps(dict(arguments))
        answer = self._api.open("POST", "/build", wishes, iter(pieces), content_type="application/x-tar")
        image = ""
        for event in read_progress(answer.lines()):
            image = text_at(event, "aux", "ID") or image
            if on_progress is not None:
                on_progress(event)
        return image

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        repository, tag = split_image_name(target)
        self._api.call("POST", f"/images/{source}/tag", {"repo": repository, "tag": tag or "latest"}).read()

    def remove(self, name: str, *, force: bool = False) -> Rows:
        """Take a name away, and with the last one the image; return what was untagged and deleted."""
        return maps_at(self._api.call("DELETE", f"/images/{name}", {"force": str(int(force))}).json())

    def save(self, *names: str) -> Iterator[bytes]:
        """Yield an archive of images, for `load`."""
        return self._api.open("GET", "/images/get", {"names": [*names]}).iterate()

    def load(self, pieces: Iterable[bytes], *, on_progress: Progress | None = None) -> None:
        """Take in the images of an archive."""
        _follow(self._api.open("POST", "/images/load", None, pieces, content_type="application/x-tar"), on_progress)

    def search(self, term: str, *, limit: int = 25) -> Rows:
        """Look for images on Docker Hub."""
        return maps_at(self._api.get("/images/search", {"term": term, "limit": str(limit)}))

    def prune(self, filters: Filters | None = None) -> dict[str, Json]:
        """Remove images without a name that nobody uses; return which, and how much space that gave."""
        return map_at(self._api.post("/images/prune", render_filters(filters)))


def _follow(answer: Response, on_progress: Progress | None) -> None:
    """Read progress to its end; a failure in it is raised."""
    for event in read_progress(answer.lines()):
        if on_progress is not None:
            on_progress(event)
