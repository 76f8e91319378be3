"""Read `--publish` and `--expose`.

Pure. The grammar of the short form, from docker's `run` reference (`IP` may be an IPv6 address, best in brackets):

    publish  = [[IP ":"] [ports] ":"] ports ["/" protocol]
    ports    = NUMBER | NUMBER "-" NUMBER

Ranges must have the same length, except that one container port may take any free port of a host range. Chapter 14.
"""

from __future__ import annotations

from minidocker.cli.run_values import is_address, split_fields

__all__ = ["read_exposed_ports", "read_published_ports"]

PROTOCOLS = ("tcp", "udp", "sctp")
LAST_PORT = 65535


def read_published_ports(text: str) -> list[tuple[str, str, str]]:
    """Return (`80/tcp`, host address, host port) for each container port that *text* publishes.

    Raises:
        ValueError: with Docker's words for what is wrong.
    """
    address, host, inside = _split_publish(_long_form(text) if "=" in text else text)
    inside, _, protocol = inside.rpartition("/") if "/" in inside else (inside, "", "tcp")
    protocol = protocol.lower() or "tcp"
    if not inside:
        raise ValueError(f"no port specified: {text or '<empty>'}")
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    if address and not is_address(address):
        raise ValueError(f"invalid IP address: {address}")
    first, last = _read_range(inside, "containerPort")
    if not host:
        return [(f"{port}/{protocol}", address, "") for port in range(first, last + 1)]
    host_first, host_last = _read_range(host, "hostPort")
    if host_last - host_first != last - first:
        if first != last:
            raise ValueError(f"invalid ranges specified for container and host Ports: {inside} and {host}")
        return [(f"{first}/{protocol}", address, f"{host_first}-{host_last}")]
    return [(f"{first + offset}/{protocol}", address, str(host_first + offset)) for offset in range(last - first + 1)]


def _split_publish(text: str) -> tuple[str, str, str]:
    """Return (address, host ports, container ports): the last two colons separate, an address may hold more."""
    parts = text.split(":")
    address, host = ":".join(parts[:-2]), parts[-2] if len(parts) > 1 else ""
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address, host, parts[-1]


def _read_range(text: str, name: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = (first, last if dash else first)
    if not all(number.isdigit() and int(number) <= LAST_PORT for number in numbers) or int(numbers[0]) > int(numbers[1]):
        raise ValueError(f"invalid {name}: {text}")
    return int(numbers[0]), int(numbers[1])


def _long_form(text: str) -> str:
    """Return the short form of `published=8080,target=80,protocol=tcp`."""
    fields = {"published": "", "target": "", "protocol": "tcp", "mode": "ingress"}
    for item in split_fields(text):
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise ValueError(f"invalid field: {item}")
        if key not in fields:
            raise ValueError(f"invalid field key: {key}")
        fields[key] = value
    if not fields["target"]:
        raise ValueError('missing mandatory field "target"')
    if fields["mode"] not in ("ingress", "host"):
        raise ValueError(f"invalid publish mode value ({fields['mode']}): must be either 'ingress' or 'host'")
    return f"{fields['published']}:{fields['target']}/{fields['protocol']}"


def read_exposed_ports(text: str) -> list[str]:
    """Return the keys (`80/tcp`) of the ports that *text* exposes.

    Raises:
        ValueError: with Docker's words for what is wrong.
    """
    ports, _, protocol = text.partition("/")
    if ":" in text:
        raise ValueError(f"invalid port format for --expose: {text}")
    first, dash, last = ports.partition("-")
    for number in (first, last) if dash else (first,):
        if not number.isdigit():
            raise ValueError(f'invalid range format for --expose: {text}, error: strconv.ParseUint: parsing "{number}": invalid syntax')
        if int(number) > LAST_PORT:
            raise ValueError(
                f'invalid range format for --expose: {text}, error: strconv.ParseUint: parsing "{number}": value out of range'
            )
    return [f"{port}/{(protocol or 'tcp').lower()}" for port in range(int(first), int(last or first) + 1)]
