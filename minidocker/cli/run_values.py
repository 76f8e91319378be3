"""Read the small languages inside the flags of `run`: volumes, mounts, devices, limits, hosts, GPUs.

Pure. Each reader takes the text of one flag and returns JSON for the body of `POST /containers/create`, or raises
ValueError with Docker's words. Ports are in `run_ports`, networks in `run_networks`. Chapter 14.
"""

from __future__ import annotations

from minidocker.cli.units import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.spec.record import Json

__all__ = [
    "check_address", "check_host", "check_label", "check_link", "check_stream", "check_variable", "is_address", "read_capabilities",
    "read_cpus", "read_device", "read_gpus", "read_mount", "read_restart", "read_throttle", "read_ulimit", "read_volume", "read_weight",
    "split_fields",
]  # fmt: skip

STREAMS = ("stdin", "stdout", "stderr")

ULIMITS = frozenset(
    ["core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"]
)
"""The names of setrlimit(2) in lower case without `RLIMIT_`."""


def split_fields(text: str) -> list[str]:
    """Return the comma-separated fields of *text*; quotation marks protect commas, as in CSV."""
    if '"' not in text:
        return text.split(",")
    import csv

    return next(csv.reader([text]))


def is_address(text: str) -> bool:
    """Whether *text* is an IPv4 or IPv6 address."""
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_stream(text: str) -> str:
    """Return a stream's name in lower case, for `--attach`."""
    if text.lower() not in STREAMS:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def check_variable(text: str) -> str:
    """Return *text* if it can be an environment variable: there is a name."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")
    return text


def check_label(text: str) -> str:
    """Return *text* if it can be a label: there is a name."""
    if not text.partition("=")[0].strip():
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def check_link(text: str) -> str:
    """Return *text* if it can name a container to link to."""
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def check_address(text: str) -> str:
    """Return the address *text*, for `--dns`."""
    if not is_address(text.strip()):
        raise ValueError(f"IP address is not correctly formatted: {text}")
    return text.strip()


def check_domain(text: str) -> str:
    """Return the search domain *text*; a dot alone clears the list."""
    name = text.strip()
    labels = name.strip(".").split(".")
    if name != "." and not all(label.replace("-", "").replace("_", "").isalnum() for label in labels):
        raise ValueError(f"{text} is not a valid domain")
    return name


def check_host(text: str) -> str:
    """Return `NAME:ADDRESS` of an extra host, written with `:` or `=`, the address perhaps in brackets."""
    separator = "=" if "=" in text else ":"
    name, _, address = text.partition(separator)
    if not name or not address:
        raise ValueError(f'bad format for add-host: "{text}"')
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if address != "host-gateway" and not is_address(address):
        raise ValueError(f'invalid IP address in add-host: "{address}"')
    return f"{name}:{address}"


def check_sysctl(text: str) -> str:
    """Return *text* if it sets a kernel parameter that belongs to a namespace."""
    name = text.partition("=")[0]
    if "=" not in text or not (name.startswith(("net.", "fs.mqueue.")) or name in _IPC_SYSCTLS):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


_IPC_SYSCTLS = frozenset(
    f"kernel.{name}" for name in ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"]
)


def check_device_rule(text: str) -> str:
    """Return *text* if it is a rule of the devices cgroup: `c 1:3 rwm`."""
    kind, _, rest = text.partition(" ")
    numbers, _, permissions = rest.partition(" ")
    major, colon, minor = numbers.partition(":")
    parts_fit = kind in ("a", "b", "c") and colon and all(part == "*" or part.isdigit() for part in (major, minor))
    if not parts_fit or not permissions or set(permissions) - set("rwm"):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def read_cpus(text: str) -> int:
    """Return billionths of a CPU."""
    from fractions import Fraction

    try:
        value = Fraction(text) * 1_000_000_000
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if value.denominator != 1:
        raise ValueError("value is too precise")
    return int(value)


def read_swap(text: str) -> int:
    """Return the bytes of memory and swap together; `-1` is unlimited."""
    return -1 if text == "-1" else parse_bytes(text)


def read_volume(text: str, cwd: str) -> tuple[str, str]:
    """Return (bind, ""), or ("", container path) for an anonymous volume.

    A source that starts with `.` or `~` is a path below *cwd* or the home directory's own business (the shell's); an
    absolute one is a path; everything else names a volume.
    """
    if not text:
        raise ValueError("invalid empty volume spec")
    if ":" not in text:
        return "", text
    parts = text.split(":")
    if "" in parts:
        raise ValueError(f"invalid spec: {text}: empty section between colons")
    source = parts[0]
    if source in (".", "..") or source.startswith(("./", "../")):
        import posixpath

        parts[0] = posixpath.normpath(posixpath.join(cwd, source))
    return ":".join(parts), ""


def read_restart(text: str) -> dict[str, Json]:
    """Return the restart policy that *text* means: `no`, `always`, `unless-stopped`, `on-failure[:N]`."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    policy: dict[str, Json] = {"Name": name}
    if colon:
        if not count.lstrip("-").isdigit():
            raise ValueError("invalid restart policy format: maximum retry count must be an integer")
        policy["MaximumRetryCount"] = int(count)
    return policy


def read_ulimit(text: str) -> dict[str, Json]:
    """Return the limit in `NAME=SOFT[:HARD]`; `-1` is unlimited."""
    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    numbers = values.split(":")
    if len(numbers) > 2:
        raise ValueError(f"too many limit value arguments - {values}, can only have up to two, `soft[:hard]`")
    for number in numbers:
        if not number.removeprefix("-").isdigit():
            raise ValueError(f'strconv.ParseInt: parsing "{number}": invalid syntax')
    soft, hard = int(numbers[0]), int(numbers[-1])
    if hard != -1 and (soft > hard or soft == -1):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def is_device_name(text: str) -> bool:
    """Whether *text* is a CDI name, `VENDOR/CLASS=DEVICE`, and not a path."""
    kind, equals, device = text.partition("=")
    return bool(equals and device and "/" in kind and not kind.startswith("/"))


def read_device(text: str) -> dict[str, Json]:
    """Return the device in `HOST[:CONTAINER][:PERMISSIONS]`."""
    parts = text.split(":")
    if not parts[0] or len(parts) > 3:
        raise ValueError(f"bad format for path: {text}")
    inside, permissions = parts[0], "rwm"
    if len(parts) == 2 and _is_device_mode(parts[1]):
        permissions = parts[1]
    elif len(parts) >= 2:
        inside = parts[1]
    if len(parts) == 3:
        permissions = parts[2]
        if not _is_device_mode(permissions):
            raise ValueError(f"bad mode specified: {permissions}")
    return {"PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": permissions}


def _is_device_mode(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and not set(text) - set("rwm")


def read_weight(text: str) -> dict[str, Json]:
    """Return the share in `DEVICE:WEIGHT`."""
    path, colon, weight = text.partition(":")
    if not colon or not weight:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    if not weight.isdigit() or (int(weight) and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def read_throttle(text: str, *, counts_bytes: bool) -> dict[str, Json]:
    """Return the rate in `DEVICE:RATE`, in bytes (with units) or operations a second."""
    path, colon, rate = text.partition(":")
    if not colon or not rate:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    try:
        return {"Path": path, "Rate": parse_bytes(rate) if counts_bytes else _read_count(rate)}
    except ValueError:
        wanted = "<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        if not counts_bytes:
            wanted = "<number>. Number must be a positive integer"
        raise ValueError(f"invalid rate for device: {text}. The correct format is <device-path>:{wanted}") from None


def _read_count(text: str) -> int:
    if not text.isdigit():
        raise ValueError(text)
    return int(text)


def read_gpus(text: str) -> dict[str, Json]:
    """Return the device request in `all`, `N` or `device=…,capabilities=…`."""
    request: dict[str, Json] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    for index, item in enumerate(split_fields(text)):
        key, equals, value = item.partition("=")
        if not equals and index == 0:
            key, value = "count", key
        if key == "count":
            if value != "all" and not value.lstrip("-").isdigit():
                raise ValueError(f'invalid count ({value}): value must be either "all" or an integer: invalid syntax')
            request["Count"] = -1 if value == "all" else int(value)
        elif key == "device":
            request["DeviceIDs"] = list(value.split(","))
        elif key == "driver":
            request["Driver"] = value
        elif key == "capabilities":
            request["Capabilities"] = [[*value.split(","), "gpu"]]
        elif key == "options":
            request["Options"] = {value.partition("=")[0]: value.partition("=")[2]}
        else:
            raise ValueError(f"unexpected key '{key}' in '{item}'")
    return request


def read_capabilities(added: list[str], dropped: list[str]) -> tuple[list[str], list[str]]:
    """Return both lists in the kernel's names, sorted; `ALL` stands for every other, and adding wins over dropping."""
    add, drop = ({_capability_name(name) for name in names} for names in (added, dropped))
    drop -= add
    return (["ALL"] if "ALL" in add else sorted(add)), (["ALL"] if "ALL" in drop else sorted(drop))


def _capability_name(text: str) -> str:
    name = text.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


_MOUNT_TEXTS = {
    "type": "Type", "source": "Source", "src": "Source", "target": "Target", "dst": "Target", "destination": "Target",
    "consistency": "Consistency",
}  # fmt: skip
_MOUNT_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")


def read_mount(text: str, cwd: str = "/") -> dict[str, Json]:
    """Return the mount in `type=…,source=…,target=…,…`."""
    mount: dict[str, Json] = {"Type": "volume"}
    options: dict[str, dict[str, Json]] = {"bind": {}, "volume": {}, "tmpfs": {}, "image": {}}
    recursion = ""
    for item in split_fields(text):
        key, equals, value = item.partition("=")
        key = key.lower().strip()
        if not equals:
            if key not in _MOUNT_SWITCHES:
                raise ValueError(f"invalid field '{item}' must be a key=value pair")
            value = "true"
        if key in _MOUNT_TEXTS:
            mount[_MOUNT_TEXTS[key]] = value.lower() if key == "type" else value
        elif key in ("readonly", "ro"):
            mount["ReadOnly"] = _read_switch(key, value)
        elif key == "bind-recursive":
            recursion = value
        else:
            _take_mount_option(options, key, value, item)
    _take_recursion(mount, options["bind"], recursion)
    return _finish_mount(mount, options, cwd)


def _read_switch(key: str, text: str) -> bool:
    if text not in ("1", "true", "True", "TRUE", "t", "T", "0", "false", "False", "FALSE", "f", "F"):
        raise ValueError(f"invalid value for {key}: {text}")
    return text[0] in "1tT"


def _take_mount_option(options: dict[str, dict[str, Json]], key: str, value: str, item: str) -> None:
    match key:
        case "bind-propagation":
            options["bind"]["Propagation"] = value
        case "bind-nonrecursive":
            options["bind"]["NonRecursive"] = _read_switch(key, value)
        case "volume-nocopy":
            options["volume"]["NoCopy"] = _read_switch(key, value)
        case "volume-subpath":
            options["volume"]["Subpath"] = value
        case "volume-label":
            _map_of(options["volume"], "Labels")[value.partition("=")[0]] = value.partition("=")[2]
        case "volume-driver":
            _map_of(options["volume"], "DriverConfig")["Name"] = value
        case "volume-opt":
            _map_of(_map_of(options["volume"], "DriverConfig"), "Options")[value.partition("=")[0]] = value.partition("=")[2]
        case "image-subpath":
            options["image"]["Subpath"] = value
        case "tmpfs-size":
            options["tmpfs"]["SizeBytes"] = parse_bytes(value)
        case "tmpfs-mode":
            options["tmpfs"]["Mode"] = int(value, 8)
        case _:
            raise ValueError(f"unexpected key '{key}' in '{item}'")


def _map_of(parent: dict[str, Json], key: str) -> dict[str, Json]:
    child = parent.setdefault(key, {})
    assert isinstance(child, dict)
    return child


def _take_recursion(mount: dict[str, Json], bind: dict[str, Json], recursion: str) -> None:
    if recursion in ("", "enabled"):
        return
    if recursion not in ("disabled", "writable", "readonly"):
        raise ValueError(f'invalid value for bind-recursive: {recursion} (must be "enabled", "disabled", "writable", or "readonly")')
    if recursion == "disabled":
        bind["NonRecursive"] = True
        return
    if not mount.get("ReadOnly"):
        raise ValueError(f"option 'bind-recursive={recursion}' requires 'readonly' to be specified in conjunction")
    if recursion == "readonly" and bind.get("Propagation") != "rprivate":
        raise ValueError("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
    bind["ReadOnlyNonRecursive" if recursion == "writable" else "ReadOnlyForceRecursive"] = True


def _finish_mount(mount: dict[str, Json], options: dict[str, dict[str, Json]], cwd: str) -> dict[str, Json]:
    if not mount["Type"]:
        raise ValueError("type is required")
    if not mount.get("Target"):
        raise ValueError("target is required")
    source = mount.get("Source")
    if isinstance(source, str) and (source in (".", "..") or source.startswith(("./", "../"))):
        import posixpath

        mount["Source"] = posixpath.normpath(posixpath.join(cwd, source))
    for kind, values in options.items():
        if values and kind != mount["Type"]:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")
        if values:
            mount[f"{kind.capitalize()}Options"] = values
    return mount
