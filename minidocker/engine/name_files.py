"""A container's names on disk: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`, and what its name service is told.

Acting. The files lie beside the container's record and are bound over the image's, so a change while the container runs is
written into the same file, never renamed over it. Chapter 18.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minidocker.container.protocol import NameService
from minidocker.container.record import ContainerRecord
from minidocker.network.apply import read_host_resolv_conf
from minidocker.network.names import HOST_GATEWAY, render_hostname, render_hosts, render_resolv_conf, upstream_servers
from minidocker.network.wishes import parse_link

if TYPE_CHECKING:
    from minidocker.engine.networks import Networks

__all__ = ["compose_name_service", "update_name_files", "write_name_files"]


def write_name_files(
    networks: Networks, record: ContainerRecord, directory: Path, *, owner: tuple[int, int] | None = None,
    links: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Write `hosts`, `hostname` and `resolv.conf` into the container's *directory*; *links* are lines for the first.

    They belong to *owner*, the container's root.

    A container that shares another's network shares its names as well: they are copied from the other's directory,
    which is named after the id in `container:ID`.

    Raises:
        InvalidParameter: an `--add-host` of the wrong form.
    """
    config, host_config = record.config, record.host_config
    is_host = host_config.network_mode == "host"
    shared = host_config.network_mode.partition("container:")[2]
    if shared:
        for name in ("hosts", "hostname", "resolv.conf"):
            with suppress(OSError):  # the other one has none: it is started without name files
                _write(directory / name, (directory.parent / shared / name).read_text(), owner)
        return
    gateway = networks.gateway() if any(HOST_GATEWAY in text for text in host_config.extra_hosts) else ""
    known = {"base": _read_text(Path("/etc/hosts"))} if is_host else {}
    hosts = render_hosts(
        hostname=config.hostname, domainname=config.domainname, addresses=_addresses(record), extra_hosts=host_config.extra_hosts,
        gateway=gateway, links=links, **known,
    )  # fmt: skip
    for name, text in (("hosts", hosts), ("hostname", render_hostname(config.hostname)), ("resolv.conf", _resolv_conf(networks, record))):
        _write(directory / name, text, owner)


def _addresses(record: ContainerRecord) -> list[str]:
    return [address for e in record.endpoints for address in (e.address, e.address6) if address]


def _resolv_conf(networks: Networks, record: ContainerRecord) -> str:
    host, server = record.host_config, networks.settings
    return render_resolv_conf(
        read_host_resolv_conf(), dns=_dns_of(networks, record), search=host.dns_search or server.dns_search,
        options=host.dns_options or server.dns_options, bridged=host.network_mode != "host",
        served=any(endpoint.dns_names for endpoint in record.endpoints),
    )  # fmt: skip


def _dns_of(networks: Networks, record: ContainerRecord) -> tuple[str, ...]:
    """Return the name servers that somebody named for a container; none: the host's."""
    settings = networks.settings
    carried = (settings.way_out_dns,) if settings.way_out_dns and record.host_config.network_mode != "host" else ()
    return record.host_config.dns or settings.dns or carried


def update_name_files(networks: Networks, old: ContainerRecord, new: ContainerRecord, directory: Path) -> None:
    """Bring the files of a running container in line with its endpoints; lines that somebody added to `hosts` stay."""
    text = _read_text(directory / "hosts")
    gone, come = set(_addresses(old)) - set(_addresses(new)), [a for a in _addresses(new) if a not in _addresses(old)]
    kept = [line for line in text.splitlines() if not line.strip() or line.split()[0] not in gone]
    own = render_hosts(hostname=new.config.hostname, domainname=new.config.domainname, addresses=come, base="").splitlines()
    _write(directory / "hosts", "\n".join([*kept, *own]) + "\n")
    if _read_text(directory / "resolv.conf") == _resolv_conf(networks, old):  # not if somebody wrote one of their own
        _write(directory / "resolv.conf", _resolv_conf(networks, new))


def compose_name_service(networks: Networks, record: ContainerRecord) -> NameService | None:
    """Return what the monitor's name service needs; None for a container without one."""
    served = [endpoint for endpoint in record.endpoints if endpoint.dns_names]
    if not served:
        return None
    wishes = networks.wishes_of(record)
    links = dict(parse_link(link)[::-1] for e in served if e.network in wishes for link in wishes[e.network].links)
    servers = upstream_servers(read_host_resolv_conf(), dns=_dns_of(networks, record))
    # CVE-2024-29018: a container that reaches nobody outside must not tell anybody outside what it asks for
    leads_out = any(endpoint.gateway or endpoint.gateway6 for endpoint in record.endpoints)
    return NameService(
        tables=tuple(networks.table_path(e.network_id) for e in served), links=links, servers=tuple(servers) if leads_out else (),
    )  # fmt: skip


def _write(path: Path, text: str, owner: tuple[int, int] | None = None) -> None:
    """Write a file that everybody in the container may read; it is made anew at each start, so it need not be durable."""
    path.write_text(text)
    path.chmod(0o644)
    if owner is not None:
        os.chown(path, *owner)


def _read_text(path: Path) -> str:
    """Return the content of *path*, empty if there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
