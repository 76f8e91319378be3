"""What a build is asked for, as one value, and what the client may grant to its steps.

Pure. Secrets are bytes that exist here and in the container of the one RUN that mounts them: their `repr` hides them, and nothing
that is stored or hashed contains a request. See the Docker Engine API 1.50, `POST /build`. Chapter 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from minidocker.errors import InvalidParameter
from minidocker.spec.container import HostConfig

__all__ = ["PROXY_ARGUMENTS", "BuildRequest", "Output", "parse_output", "platform_arguments"]

PROXY_ARGUMENTS: Final = frozenset(
    name for word in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY") for name in (word, word.lower())
)
"""Arguments that every RUN gets without an ARG, and that are neither in the history nor in the key: they belong to the machine."""
EPOCH_ARGUMENT: Final = "SOURCE_DATE_EPOCH"
OUTPUT_TYPES: Final = ("local", "tar", "oci", "docker", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where a result goes besides, or instead of, the engine's images."""

    type: str
    destination: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """Everything that one build is asked for, apart from its files."""

    dockerfile: str = "Dockerfile"
    tags: tuple[str, ...] = ()
    target: str = ""
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    """`--build-arg`; None: named without a value that the client has."""
    labels: Mapping[str, str] = field(default_factory=dict)
    host_config: HostConfig = field(default_factory=HostConfig)
    """Limits, hosts and the network of the RUN steps."""
    platform: str = ""
    no_cache: bool = False
    pull: bool = False
    cache_from: tuple[str, ...] = ()
    """Images whose layers may be taken for results."""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, str] = field(default_factory=dict)
    """SSH agents by id: sockets of this machine."""
    contexts: Mapping[str, str] = field(default_factory=dict)
    """`--build-context`: names that COPY --from and FROM may use, as `docker-image://…` or a directory of this machine."""
    grants: frozenset[str] = frozenset()
    """`network.host`, `security.insecure`: what a Dockerfile may not take for itself (CVE-2024-23653)."""

    @property
    def epoch(self) -> int | None:
        """Seconds since 1970 that no time in the image may pass; None: the clock's.

        Raises:
            InvalidParameter: it is no number.
        """
        text = self.arguments.get(EPOCH_ARGUMENT)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise InvalidParameter(f"invalid SOURCE_DATE_EPOCH `{text[:40]}`: expected seconds since 1970")
        return int(text)


def parse_output(text: str) -> Output:
    """Return the output that `-o` describes: `type=tar,dest=out.tar`, or just a directory, or `-` for a tar on stdout.

    Raises:
        InvalidParameter: an unknown type, or a word without `=`.
    """
    if "=" not in text:
        return Output(type="tar", destination="-") if text == "-" else Output(type="local", destination=text)
    words = [word.partition("=") for word in text.split(",")]
    attributes = {key.strip().lower(): value for key, equals, value in words if equals}
    if len(attributes) != len(words) or attributes.get("type") not in OUTPUT_TYPES:
        raise InvalidParameter(f"invalid output `{text}`", hint=f"type= is one of {', '.join(OUTPUT_TYPES)}")
    kind, destination = attributes.pop("type"), attributes.pop("dest", "")
    if kind == "local" and destination in ("", "-"):
        raise InvalidParameter("invalid output: type=local needs dest=DIRECTORY")
    return Output(type=kind, destination=destination, attributes=attributes)


def platform_arguments(target: str, build: str) -> dict[str, str]:
    """Return the arguments that describe both platforms, each `os/architecture[/variant]`."""
    found: dict[str, str] = {}
    for prefix, platform in (("TARGET", target), ("BUILD", build)):
        system, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        found |= {
            f"{prefix}PLATFORM": platform, f"{prefix}OS": system, f"{prefix}ARCH": architecture, f"{prefix}VARIANT": variant,
        }  # fmt: skip
    return found
