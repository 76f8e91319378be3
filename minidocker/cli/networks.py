"""`network ls`, `create`, `rm`, `connect`, `disconnect`, `rules`, `trace`. Acts; `read_ipam` is pure. Chapter 14."""

from __future__ import annotations

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.cli.containers import SHORT_ID, parse_filters
from minidocker.client.fields import list_at, map_at, text_at, value_at
from minidocker.cli.flags import BOOL, INT, LIST, MAP, STRING, Flag, Kind
from minidocker.cli.lifecycle import for_each
from minidocker.cli.run_networks import check_mac_address
from minidocker.cli.run_values import check_label, check_link, is_address
from minidocker.cli.table import render_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ipaddress

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.cli.template import Value
    from minidocker.spec.record import Json

    IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

__all__ = ["NETWORK_CONNECT", "NETWORK_CREATE", "NETWORK_DISCONNECT", "NETWORK_LS", "NETWORK_RM", "NETWORK_RULES", "read_ipam"]

HEADERS = {
    "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL",
    "Labels": "LABELS", "CreatedAt": "CREATED AT",
}  # fmt: skip


def _row(network: Json, *, truncate: bool) -> dict[str, Value]:
    labels = map_at(network, "Labels")
    switches = (("IPv4", "EnableIPv4"), ("IPv6", "EnableIPv6"), ("Internal", "Internal"))
    return {
        "ID": text_at(network, "Id")[: SHORT_ID if truncate else None],
        "Name": text_at(network, "Name"),
        "Driver": text_at(network, "Driver"),
        "Scope": text_at(network, "Scope"),
        **{field: str(bool(value_at(network, key))).lower() for field, key in switches},
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Label": lambda *keys: text_at(labels, str(keys[0])) if keys else "",
        "CreatedAt": text_at(network, "Created").replace("T", " ").replace("Z", " +0000 UTC"),
    }


def list_networks(session: Session, options: Options) -> int:
    """List networks."""
    query: dict[str, str | list[str]] = {"filters": parse_filters(options.texts("filter"))} if options.texts("filter") else {}
    networks = list_at({"": session.client().get("/networks", query)}, "")
    networks.sort(key=lambda network: text_at(network, "Name"))
    rows = [_row(network, truncate=not options.switch("no-trunc")) for network in networks]
    if options.switch("quiet"):
        for row in rows:
            print(row["ID"])
        return 0
    text = render_list(rows, HEADERS, ("ID", "Name", "Driver", "Scope"), options.text("format"))
    if text:
        print(text)
    return 0


def read_ipam(options: Options) -> list[Json]:
    """Return the `IPAM.Config` that `--subnet`, `--gateway`, `--ip-range` and `--aux-address` describe together.

    Raises:
        ValueError: an address that lies in no subnet, or two of a kind for one, in Docker's words.
    """
    subnets = {_read_subnet(text): text for text in options.texts("subnet")}
    configs: dict[IPNetwork, dict[str, Json]] = {subnet: {"Subnet": text} for subnet, text in subnets.items()}
    if len(options.texts("subnet")) != len(subnets) or any(a.overlaps(b) for a in subnets for b in subnets if a is not b):
        raise ValueError("multiple overlapping subnet configuration is not supported")
    for flag, key, what in (("ip-range", "IPRange", "range"), ("gateway", "Gateway", "gateway")):
        for text in options.texts(flag):
            config = _config_of(configs, text, what)
            if key in config:
                raise ValueError(f"cannot configure multiple {what}s ({text}, {config[key]}) on the same subnet")
            config[key] = text
    for name, text in options.mapping("aux-address").items():
        config = _config_of(configs, text, "aux-address")
        known = config.get("AuxiliaryAddresses")
        config["AuxiliaryAddresses"] = {**(known if isinstance(known, dict) else {}), name: text}
    return [*configs.values()]


def _read_subnet(text: str) -> IPNetwork:
    import ipaddress

    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None


def _config_of(configs: dict[IPNetwork, dict[str, Json]], text: str, what: str) -> dict[str, Json]:
    """Return the configuration of the subnet that an address or range lies in."""
    if not is_address(text.partition("/")[0]):
        raise ValueError(f"invalid {what}: {text}")
    wanted = _read_subnet(text)
    for subnet, config in configs.items():
        if subnet.version == wanted.version and wanted.subnet_of(subnet):  # type: ignore[arg-type]  # same version
            return config
    raise ValueError(f"no matching subnet for {what} {text}")


def create(session: Session, options: Options) -> int:
    """Create a network and print its id."""
    ipam: dict[str, Json] = {"Driver": options.text("ipam-driver"), "Options": {**options.mapping("ipam-opt")}, "Config": read_ipam(options)}
    body: dict[str, Json] = {
        "Name": options.arguments[0], "Driver": options.text("driver"), "Scope": options.text("scope"), "IPAM": ipam,
        "Internal": options.switch("internal"), "Ingress": options.switch("ingress"), "Attachable": options.switch("attachable"),
        "Options": {**options.mapping("opt")}, "Labels": {**options.mapping("label")},
    }  # fmt: skip
    for flag, key in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if flag in options.given:
            body[key] = options.switch(flag)
    print(text_at(session.client().post("/networks/create", None, body), "Id"))
    return 0


def remove(session: Session, options: Options) -> int:
    """Remove networks that nobody is in."""

    def delete(name: str) -> str:
        try:
            session.client().call("DELETE", f"/networks/{name}").read()
        except DaemonError as error:
            if options.switch("force") and error.http_status == 404:
                return ""
            raise
        return name

    return for_each(options.arguments, delete)


def connect(session: Session, options: Options) -> int:
    """Connect a container to a network."""
    network, container = options.arguments
    addresses = {key: options.text(flag) for flag, key in (("ip", "IPv4Address"), ("ip6", "IPv6Address")) if options.text(flag)}
    ipam: dict[str, Json] = {**addresses}
    if options.texts("link-local-ip"):
        ipam["LinkLocalIPs"] = list(options.texts("link-local-ip"))
    endpoint: dict[str, Json] = {"IPAMConfig": ipam or None, "DriverOpts": {**options.mapping("driver-opt")}}
    for flag, key in (("alias", "Aliases"), ("link", "Links")):
        if options.texts(flag):
            endpoint[key] = list(options.texts(flag))
    if options.text("mac-address"):
        endpoint["MacAddress"] = options.text("mac-address")
    if "gw-priority" in options.given:
        endpoint["GwPriority"] = options.number("gw-priority")
    session.client().call("POST", f"/networks/{network}/connect", None, {"Container": container, "EndpointConfig": endpoint}).read()
    return 0


def disconnect(session: Session, options: Options) -> int:
    """Disconnect a container from a network."""
    network, container = options.arguments
    body: dict[str, Json] = {"Container": container, "Force": options.switch("force")}
    session.client().call("POST", f"/networks/{network}/disconnect", None, body).read()
    return 0


def rules(session: Session, options: Options) -> int:
    """Print what the packet filter is told."""
    answer = session.client().get("/minidocker/rules", {"format": options.text("format")})
    print(text_at(answer, "Text"), end="")
    return 0


def trace(session: Session, options: Options) -> int:
    """Print the way of one packet."""
    source, destination = options.arguments
    query = {"source": source, "destination": destination, "protocol": options.text("protocol")}
    print(text_at(session.client().get("/minidocker/trace", query), "Text"), end="")
    return 0


NETWORK_LS = Command(
    "[OPTIONS]",
    list_networks,
    (
        Flag("filter", LIST, 'Provide filter values (e.g. "driver=bridge")', short="f"),
        Flag("format", STRING, "Format output: table, json, a Go template, or table and a template"),
        Flag("no-trunc", BOOL, "Do not truncate the output"),
        Flag("quiet", BOOL, "Only display network IDs", short="q"),
    ),
    maximum=0,
)
NETWORK_CREATE = Command(
    "[OPTIONS] NETWORK",
    create,
    (
        Flag("attachable", BOOL, "Enable manual container attachment"),
        Flag("aux-address", MAP, "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
        Flag("config-from", STRING, "The network from which to copy the configuration", hidden=True),
        Flag("config-only", BOOL, "Create a configuration only network", hidden=True),
        Flag("driver", STRING, "Driver to manage the Network", short="d", default="bridge"),
        Flag("gateway", LIST, "IPv4 or IPv6 Gateway for the master subnet"),
        Flag("ingress", BOOL, "Create swarm routing-mesh network", hidden=True),
        Flag("internal", BOOL, "Restrict external access to the network"),
        Flag("ip-range", LIST, "Allocate container ip from a sub-range"),
        Flag("ipam-driver", STRING, "IP Address Management Driver", default="default"),
        Flag("ipam-opt", MAP, "Set IPAM driver specific options"),
        Flag("ipv4", BOOL, "Enable or disable IPv4 address assignment"),
        Flag("ipv6", BOOL, "Enable or disable IPv6 address assignment"),
        Flag("label", Kind("list", check_label, many=True), "Set metadata on a network"),
        Flag("opt", MAP, "Set driver specific options", short="o"),
        Flag("scope", STRING, "Control the network's scope", hidden=True),
        Flag("subnet", LIST, "Subnet in CIDR format that represents a network segment"),
    ),
    minimum=1,
    maximum=1,
)
NETWORK_RM = Command(
    "NETWORK [NETWORK...]",
    remove,
    (Flag("force", BOOL, "Do not error if the network does not exist", short="f"),),
    minimum=1,
)
NETWORK_CONNECT = Command(
    "[OPTIONS] NETWORK CONTAINER",
    connect,
    (
        Flag("alias", LIST, "Add network-scoped alias for the container"),
        Flag("driver-opt", MAP, "driver options for the network"),
        Flag("gw-priority", INT, "Highest gw-priority provides the default gateway. Accepts positive and negative values"),
        Flag("ip", STRING, 'IPv4 address (e.g., "172.30.100.104")'),
        Flag("ip6", STRING, 'IPv6 address (e.g., "2001:db8::33")'),
        Flag("link", Kind("list", check_link, many=True), "Add link to another container"),
        Flag("link-local-ip", LIST, "Add a link-local address for the container"),
        Flag("mac-address", Kind("string", check_mac_address), "Container MAC address (e.g., 92:d0:c6:0a:29:33)", hidden=True),
    ),
    minimum=2,
    maximum=2,
)
NETWORK_DISCONNECT = Command(
    "[OPTIONS] NETWORK CONTAINER",
    disconnect,
    (Flag("force", BOOL, "Force the container to disconnect from a network", short="f"),),
    minimum=2,
    maximum=2,
)
NETWORK_RULES = Command(
    "[OPTIONS]",
    rules,
    (Flag("format", STRING, "Words of which program: nft or iptables", default="nft"),),
    maximum=0,
)
NETWORK_TRACE = Command(
    "[OPTIONS] SOURCE DESTINATION:PORT",
    trace,
    (Flag("protocol", STRING, "Protocol of the packet: tcp, udp or sctp", default="tcp"),),
    minimum=2,
    maximum=2,
)
