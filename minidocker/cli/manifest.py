"""`manifest inspect`: what a registry has under a name, as it has it.

Acts. The Remote API tells no more of a manifest than its digest, so the client asks the registry itself, as Docker's does. Chapter 14.
"""

from __future__ import annotations

import json
from contextlib import closing

from minidocker.cli.command import Command
from minidocker.client.credentials import find_login, server_of
from minidocker.cli.flags import BOOL, Flag
from minidocker.client.image_name import split_image_name
from minidocker.errors import NotFound, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.registry.session import Fetched, RepositorySession
    from minidocker.spec.record import Json

__all__ = ["MANIFEST_INSPECT"]

_FIELD_NAMES = {
    "application/vnd.docker.distribution.manifest.v2+json": "SchemaV2Manifest", "application/vnd.oci.image.manifest.v1+json": "OCIManifest",
}  # fmt: skip
"""Under which key Docker shows the manifest with `--verbose`."""


def inspect(session: Session, options: Options) -> int:
    """Show a manifest or an index."""
    from minidocker.registry.connection import BrokenConnection, Transport
    from minidocker.registry.endpoints import CERTIFICATE_DIRECTORIES, RegistryConfig, plan_endpoints
    from minidocker.registry.protocol import RegistryError

    image = options.arguments[-1]
    repository, tag = split_image_name(image)
    domain, path = _split_domain(repository)
    config = RegistryConfig(insecure=(domain,) if options.switch("insecure") else ())
    endpoints = plan_endpoints(domain, config, for_push=True)
    with closing(Transport(certificate_directories=CERTIFICATE_DIRECTORIES)) as transport:
        for endpoint in endpoints:
            repository_session = _open(session, transport, endpoint, path, image)
            try:
                found = repository_session.fetch_manifest(tag or "latest")
                _print(repository_session, found, f"{domain}/{path}", tag or "latest", verbose=options.switch("verbose"))
                return 0
            except RegistryError as error:
                if error.status == 404:
                    raise NotFound(f"no such manifest: {domain}/{path}:{tag or 'latest'}") from error
                raise
            except BrokenConnection:
                if endpoint is endpoints[-1]:
                    raise
    raise PeerError(f"inspect `{image}`: nobody to ask")


def _open(session: Session, transport: object, endpoint: object, path: str, image: str) -> RepositorySession:
    from minidocker.registry.challenge import Credentials
    from minidocker.registry.connection import Transport
    from minidocker.registry.endpoints import Endpoint
    from minidocker.registry.session import RepositorySession

    assert isinstance(transport, Transport)
    assert isinstance(endpoint, Endpoint)
    known = find_login(session.config_directory, server_of(image))
    credentials = Credentials(
        username=known.username, password=known.password, identity_token=known.identity_token
    ) if known else Credentials()  # fmt: skip
    return RepositorySession(transport, endpoint, path, credentials=credentials)


def _split_domain(repository: str) -> tuple[str, str]:
    server = server_of(repository)
    if server in repository:
        return server, repository.partition("/")[2]
    path = repository.removeprefix("docker.io/").removeprefix("index.docker.io/")
    return "docker.io", path if "/" in path else f"library/{path}"


def _print(session: RepositorySession, found: Fetched, repository: str, tag: str, *, verbose: bool) -> None:
    if not verbose:
        print(json.dumps(found.document.fields, indent="\t", ensure_ascii=False))
        return
    separator = "@" if tag.startswith("sha256:") else ":"
    if not found.document.is_index:
        print(json.dumps(_describe(session, found, f"{repository}{separator}{tag}", {}), indent="\t", ensure_ascii=False))
        return
    lines = []
    for entry in found.document.as_index().manifests:
        child = session.fetch_manifest(entry.digest)
        platform: dict[str, Json] = {}
        if entry.platform:
            platform = {"architecture": entry.platform.architecture, "os": entry.platform.os}
            platform.update({"variant": entry.platform.variant} if entry.platform.variant else {})
        lines.append(_describe(session, child, f"{repository}{separator}{tag}@{entry.digest}", platform))
    print(json.dumps(lines, indent="\t", ensure_ascii=False))


def _describe(session: RepositorySession, found: Fetched, reference: str, platform: dict[str, Json]) -> dict[str, Json]:
    import base64

    if not platform and not found.document.is_index:
        config = found.document.as_manifest().config
        fields = json.loads(session.fetch_document(config.digest, config.size))
        platform = {key: fields[key] for key in ("architecture", "os", "variant") if isinstance(fields, dict) and fields.get(key)}
    descriptor: dict[str, Json] = {
        "mediaType": found.document.media_type, "digest": found.digest, "size": found.size, "platform": platform,
    }  # fmt: skip
    name = _FIELD_NAMES.get(found.document.media_type, "OCIIndex")
    raw = base64.b64encode(found.content).decode()
    return {"Ref": reference, "Descriptor": descriptor, "Raw": raw, name: {**found.document.fields}}


MANIFEST_INSPECT = Command(
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    inspect,
    (
        Flag("insecure", BOOL, "Allow communication with an insecure registry"),
        Flag("verbose", BOOL, "Output additional info including layers and platform", short="v"),
    ),
    minimum=1,
    maximum=2,
)
