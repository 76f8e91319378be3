"""Which host to ask for a name: Docker Hub's real address, mirrors, and who may be spoken to without TLS.

Pure. A name says where an image lives (`registry.example:5000/team/app`); without a host it lives on Docker Hub, whose registry is
`registry-1.docker.io`. Mirrors are asked before Docker Hub, for pulls only. TLS with a verified certificate is the rule. What is
*insecure* (this machine's loopback, and what was configured) may show any certificate, or none and speak plain HTTP. Own
authorities lie in `/etc/minidocker/certs.d/HOST[:PORT]/*.crt`, or where Docker has them. See dockerd(8), `--insecure-registry`, `--registry-mirror`. Chapter 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from minidocker.errors import InvalidParameter

__all__ = [
    "CERTIFICATE_DIRECTORIES", "HUB_DOMAIN", "HUB_KEY", "Endpoint", "RegistryConfig", "credential_key", "is_insecure", "is_loopback",
    "plan_endpoints", "split_host",
]  # fmt: skip

HUB_DOMAIN: Final = "docker.io"
HUB_HOST: Final = "registry-1.docker.io"
HUB_KEY: Final = "https://index.docker.io/v1/"
"""Under which `config.json` keeps the credentials of Docker Hub; the address of a protocol that is long gone."""
CERTIFICATE_DIRECTORIES: Final = ("/etc/minidocker/certs.d", "/etc/docker/certs.d")
"""Where authorities of one's own lie, in a directory for each host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """What a server was told about registries."""

    mirrors: tuple[str, ...] = ()
    """Addresses with scheme, asked before Docker Hub."""
    insecure: tuple[str, ...] = ()
    """`HOST`, `HOST:PORT` or networks such as `10.0.0.0/8`."""
    certificate_directories: tuple[str, ...] = CERTIFICATE_DIRECTORIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address at which a registry may answer."""

    host: str
    """With the port, as it stands in a URL."""
    scheme: str = "https"
    verify: bool = True
    """Whether the certificate must be of somebody we trust."""
    is_mirror: bool = False
    prefix: str = ""
    """A path before `/v2/`, which mirrors may have."""

    @property
    def url(self) -> str:
        """The address without a path of the protocol."""
        return f"{self.scheme}://{self.host}{self.prefix}"


def plan_endpoints(domain: str, config: RegistryConfig, *, for_push: bool = False) -> tuple[Endpoint, ...]:
    """Return where to ask for names of *domain*, in this order.

    Raises:
        InvalidParameter: a mirror's address cannot be one.
    """
    if domain == HUB_DOMAIN:
        mirrors = () if for_push else tuple(_mirror(address, config) for address in config.mirrors)
        return (*mirrors, Endpoint(host=HUB_HOST))
    if is_insecure(domain, config):
        return Endpoint(host=domain, verify=False), Endpoint(host=domain, scheme="http", verify=False)
    return (Endpoint(host=domain),)


def _mirror(address: str, config: RegistryConfig) -> Endpoint:
    parts = urlsplit(address if "://" in address else f"https://{address}")
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidParameter(f"invalid mirror: `{address}` is no address of a registry", hint="--registry-mirror https://HOST[:PORT]")
    verify = parts.scheme == "https" and not is_insecure(parts.netloc, config)
    return Endpoint(host=parts.netloc, scheme=parts.scheme, verify=verify, is_mirror=True, prefix=parts.path.rstrip("/"))


def split_host(host: str) -> str:
    """Return *host* without a port and without the brackets of an IPv6 address."""
    return urlsplit(f"//{host}").hostname or ""


def is_loopback(host: str) -> bool:
    """Whether *host*, with or without a port, is this machine itself."""
    name = split_host(host)
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_insecure(host: str, config: RegistryConfig) -> bool:
    """Whether *host*, with or without a port, may be spoken to without proof of who it is."""
    name = split_host(host)
    if is_loopback(host) or any(entry in (host, name) for entry in config.insecure):
        return True
    for entry in config.insecure:
        try:
            if ip_address(name) in ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


def credential_key(domain: str) -> str:
    """Return under which key `config.json` and credential helpers keep the credentials of *domain*."""
    return HUB_KEY if domain in (HUB_DOMAIN, "index.docker.io", HUB_HOST) else domain
