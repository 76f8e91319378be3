"""`/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname` of a container: how it names itself and others.

Pure. Docker writes the three files next to the container's record and binds them over the image's, because only the
engine knows the address. On the default bridge there is no name service between containers, only the host's servers.
See hosts(5), resolv.conf(5), hostname(5). Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from minidocker.errors import InvalidParameter

__all__ = [
    "FALLBACK_SERVERS", "HOST_GATEWAY", "NAME_SERVER", "parse_extra_host", "render_hostname", "render_hosts", "render_resolv_conf",
    "upstream_servers",
]  # fmt: skip

NAME_SERVER: Final = "127.0.0.11"
"""Where a container on a network that somebody made asks for names: an address of its own loopback, as in Docker."""

FALLBACK_SERVERS: Final = ("8.8.8.8", "8.8.4.4")
"""Docker's servers for a host whose own ones are all on its loopback."""

HOST_GATEWAY: Final = "host-gateway"
"""In `--add-host`, the address of the host on the container's network."""

_WELL_KNOWN: Final = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def render_hostname(hostname: str) -> str:
    """Return the content of `/etc/hostname`."""
    return f"{hostname}\n"


def parse_extra_host(text: str) -> tuple[str, str]:
    """Return name and address of `NAME:ADDRESS` (or `NAME=ADDRESS`); the address may be IPv6 or `host-gateway`.

    Raises:
        InvalidParameter: no name, or no address.
    """
    separator = "=" if "=" in text else ":"
    name, found, address = text.partition(separator)
    address = address.strip("[]")
    if not found or not name:
        raise InvalidParameter(f"bad format for add-host: `{text[:80]}`: expected NAME:ADDRESS")
    if address != HOST_GATEWAY:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise InvalidParameter(f"invalid IP address in add-host: `{address[:60]}`") from error
    return name, address


def _own_names(hostname: str, domainname: str) -> str:
    """Return the names for the container's own address: the full one first, as hosts(5) wants, then the short one."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    short = full.partition(".")[0]
    return full if full == short else f"{full} {short}"


def render_hosts(
    *, hostname: str = "", domainname: str = "", addresses: Iterable[str] = (), extra_hosts: Iterable[str] = (), gateway: str = "",
    links: Iterable[str] = (), base: str = _WELL_KNOWN,
) -> str:  # fmt: skip
    """Return the content of `/etc/hosts` in Docker's order: the well-known names, the extra ones, the container itself.

    With the host's network, *base* is the host's own file and there are no *addresses*. *links* are lines for the names of
    `--link`.

    Raises:
        InvalidParameter: an extra host of the wrong form, or `host-gateway` on a network that has none.
    """
    lines = [base if not base or base.endswith("\n") else base + "\n"]
    for text in extra_hosts:
        name, target = parse_extra_host(text)
        if target == HOST_GATEWAY:
            if not gateway:
                raise InvalidParameter(f"unable to derive the IP value for host-gateway in `{text}`: this network has no gateway")
            target = gateway
        lines.append(f"{target}\t{name}\n")
    lines += [f"{line}\n" for line in links]
    lines += [f"{address}\t{_own_names(hostname, domainname)}\n" for address in addresses]
    return "".join(lines)


def _is_reachable(server: str) -> bool:
    """Whether a container on an IPv4 bridge can ask *server*: not the host's loopback, and no IPv6."""
    try:
        address = ipaddress.ip_address(server.partition("%")[0])
    except ValueError:
        return False
    return address.version == 4 and not address.is_loopback


def upstream_servers(host_text: str, *, dns: Sequence[str] = (), bridged: bool = True) -> list[str]:
    """Return the servers that a container asks: its own, or the host's.

    On a bridge, servers of the host that a container cannot reach are left out, and `FALLBACK_SERVERS` step in when none is
    left.
    """
    if dns:
        return list(dns)
    servers = [words[1] for line in host_text.splitlines() if len(words := line.split()) > 1 and words[0] == "nameserver"]
    return [server for server in servers if _is_reachable(server)] or list(FALLBACK_SERVERS) if bridged else servers


def render_resolv_conf(
    host_text: str, *, dns: Sequence[str] = (), search: Sequence[str] = (), options: Sequence[str] = (), bridged: bool = True,
    served: bool = False,
) -> str:  # fmt: skip
    """Return the content of `/etc/resolv.conf`: the host's, with what `--dns`, `--dns-search`, `--dns-option` replace.

    A container that is *served* asks `NAME_SERVER`, and short names are asked for as they are before domains are tried
    (`ndots:0`). A search list of `.` is the empty one.
    """
    words = [line.split() for line in host_text.splitlines() if line.strip() and line.strip()[0] not in "#;"]
    servers = [NAME_SERVER] if served else upstream_servers(host_text, dns=dns, bridged=bridged)
    domains = list(search) or next((w[1:] for w in reversed(words) if w[0] in ("search", "domain")), [])
    settings = list(options) or next((w[1:] for w in reversed(words) if w[0] == "options"), [])
    if served and not any(setting.startswith("ndots:") for setting in settings):
        settings.append("ndots:0")
    lines = ["# Generated by minidocker from the host's /etc/resolv.conf and --dns*."]
    lines += [f"nameserver {server}" for server in servers]
    if domains and domains != ["."]:
        lines.append(f"search {' '.join(domains)}")
    if settings:
        lines.append(f"options {' '.join(settings)}")
    return "\n".join(lines) + "\n"
