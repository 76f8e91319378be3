"""Read `--network` and the flags that say more about it.

Pure. The first network is the container's `NetworkMode`; `--ip`, `--network-alias`, `--link` and `--mac-address` speak
about it, or each network brings its own: `name=web,alias=db,ip=10.0.0.9`. Chapter 14.
"""

from __future__ import annotations

from minidocker.cli.run_values import split_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.spec.record import Json

__all__ = ["check_network", "read_network", "read_networks"]

BUILT_IN = ("default", "bridge", "host", "none")

_ADDRESS_KEYS = {"ip": "IPv4Address", "ip6": "IPv6Address"}


def check_network(text: str) -> str:
    """Return *text* if it can be read as a network."""
    read_network(text)
    return text


def read_network(text: str) -> tuple[str, dict[str, Json]]:
    """Return a network's name and its endpoint settings.

    Raises:
        ValueError: a key that is none, or no name.
    """
    key, equals, value = text.partition("=")
    if not equals or not value:
        return text, {}
    name, endpoint = "", dict[str, "Json"]()
    for item in split_fields(text):
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise ValueError(f"invalid field {item}")
        match key.strip().lower():
            case "name":
                name = value
            case "alias":
                endpoint["Aliases"] = [*_list(endpoint, "Aliases"), value]
            case "ip" | "ip6":
                endpoint["IPAMConfig"] = {**_map(endpoint, "IPAMConfig"), _ADDRESS_KEYS[key.strip().lower()]: value}
            case "link-local-ip":
                ipam = _map(endpoint, "IPAMConfig")
                endpoint["IPAMConfig"] = {**ipam, "LinkLocalIPs": [*_list(ipam, "LinkLocalIPs"), value]}
            case "mac-address":
                endpoint["MacAddress"] = check_mac_address(value)
            case "driver-opt":
                option, _, setting = value.partition("=")
                endpoint["DriverOpts"] = {**_map(endpoint, "DriverOpts"), option.lower(): setting.lower()}
            case "gw-priority":
                endpoint["GwPriority"] = _read_priority(value)
            case other:
                raise ValueError(f"invalid field key {other}")
    if not name:
        raise ValueError("network name is required")
    return name, endpoint


def check_mac_address(text: str) -> str:
    """Return *text* if it is a MAC address.

    Raises:
        ValueError: it is not six bytes in hexadecimal.
    """
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(part) == 2 and not set(part.lower()) - set("0123456789abcdef") for part in parts):
        raise ValueError(f"{text} is not a valid mac address")
    return text


def _read_priority(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"invalid gw-priority: {text}") from None


def _list(endpoint: dict[str, Json], key: str) -> list[Json]:
    value = endpoint.get(key)
    return value if isinstance(value, list) else []


def _map(endpoint: dict[str, Json], key: str) -> dict[str, Json]:
    value = endpoint.get(key)
    return value if isinstance(value, dict) else {}


def is_user_defined(name: str) -> bool:
    """Whether *name* is a network that somebody made, not one of the built-in ways to be connected."""
    return name not in BUILT_IN and not name.startswith("container:")


def read_networks(options: Options) -> tuple[str, dict[str, Json]]:
    """Return the `NetworkMode` and the `EndpointsConfig` of all networks.

    Raises:
        ValueError: flags that contradict each other, in Docker's words.
    """
    networks = [read_network(text) for text in options.texts("network")] or [("default", {})]
    if any(not name for name, _ in networks):
        raise ValueError("no name set for network")
    endpoints: dict[str, Json] = {}
    for index, (name, own) in enumerate(networks):
        endpoint = {**own, **_flags_of_first(options, own)} if index == 0 else own
        if name in endpoints:
            raise ValueError(f'network "{name}" is specified multiple times')
        if len(networks) > 1 and not is_user_defined(name):
            raise ValueError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
        if endpoint.get("Aliases") and not is_user_defined(name):
            raise ValueError("network-scoped aliases are only supported for user-defined networks")
        if not is_user_defined(name):
            endpoint.pop("Links", None)
        endpoints[name] = endpoint
    mode = networks[0][0]
    return mode, {name: endpoint for name, endpoint in endpoints.items() if endpoint or is_user_defined(name)}


def _flags_of_first(options: Options, own: dict[str, Json]) -> dict[str, Json]:
    """Return what the plain flags say about the first network, which says *own* about itself."""
    ipam = _map(own, "IPAMConfig")
    pairs = (
        ("--network-alias and per-network alias", bool(options.texts("network-alias")), "Aliases" in own),
        ("--ip and per-network IPv4 address", bool(options.text("ip")), "IPv4Address" in ipam),
        ("--ip6 and per-network IPv6 address", bool(options.text("ip6")), "IPv6Address" in ipam),
        ("--mac-address and per-network MAC address", bool(options.text("mac-address")), "MacAddress" in own),
        ("--link-local-ip and per-network link-local IP addresses", bool(options.texts("link-local-ip")), "LinkLocalIPs" in ipam),
    )
    for both, by_flag, by_itself in pairs:
        if by_flag and by_itself:
            raise ValueError(f"conflicting options: cannot specify both {both}")
    endpoint: dict[str, Json] = {}
    if options.texts("network-alias"):
        endpoint["Aliases"] = list(options.texts("network-alias"))
    if options.texts("link"):
        endpoint["Links"] = list(options.texts("link"))
    if options.text("mac-address"):
        endpoint["MacAddress"] = check_mac_address(options.text("mac-address"))
    ipam = {**ipam, **{field: options.text(flag) for flag, field in _ADDRESS_KEYS.items() if options.text(flag)}}
    if options.texts("link-local-ip"):
        ipam["LinkLocalIPs"] = list(options.texts("link-local-ip"))
    if ipam:
        endpoint["IPAMConfig"] = ipam
    return endpoint
