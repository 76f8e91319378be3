"""The flags of `run` and `create`. Pure: one table; `run_body` turns its values into the body of the request. Chapter 14."""

from __future__ import annotations

from minidocker.cli.flags import BOOL, BYTES, DURATION, INT, LIST, MAP, STRING, Flag, Kind
from minidocker.cli.run_networks import check_network
from minidocker.cli.run_values import (
    check_address,
    check_device_rule,
    check_domain,
    check_host,
    check_label,
    check_link,
    check_stream,
    check_sysctl,
    check_variable,
    read_cpus,
    read_gpus,
    read_mount,
    read_swap,
    read_throttle,
    read_ulimit,
    read_weight,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CREATE_FLAGS", "RUN_FLAGS"]


def _checked(check: Callable[[str], object], word: str = "list") -> Kind:
    """Return a list kind whose texts *check* accepts; the body reads them again."""

    def read(text: str) -> str:
        check(text)
        return text

    return Kind(word, read, many=True)


def _read_weight_number(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > 0xFFFF:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


DECIMAL = Kind("decimal", read_cpus, 0)
SWAP = Kind("bytes", read_swap, 0)
EXPLAIN = Kind("form", str, "", bare="text")
_BPS = _checked(lambda text: read_throttle(text, counts_bytes=True))
_IOPS = _checked(lambda text: read_throttle(text, counts_bytes=False))

CREATE_FLAGS = (
    Flag("add-host", Kind("list", check_host, many=True), "Add a line to the container's /etc/hosts (host:ip)"),
    Flag("annotation", MAP, "Pass an annotation to the OCI runtime"),
    Flag("attach", Kind("list", check_stream, many=True), "Attach to STDIN, STDOUT or STDERR", short="a"),
    Flag("blkio-weight", Kind("uint16", _read_weight_number, 0), "Share of block IO, 10 to 1000, or 0 for none"),
    Flag("blkio-weight-device", _checked(read_weight), "Share of block IO of one device (path:weight)"),
    Flag("cap-add", LIST, "Add Linux capabilities"),
    Flag("cap-drop", LIST, "Drop Linux capabilities"),
    Flag("cgroup-parent", STRING, "Control group below which the container's is made"),
    Flag("cgroupns", STRING, "Cgroup namespace to use (host|private)"),
    Flag("cidfile", STRING, "Write the container ID to the file"),
    Flag("cpu-period", INT, "Period of the CPU limit in microseconds"),
    Flag("cpu-quota", INT, "CPU time per period in microseconds"),
    Flag("cpu-rt-period", INT, "Period of the real-time CPU limit in microseconds"),
    Flag("cpu-rt-runtime", INT, "Real-time CPU time per period in microseconds"),
    Flag("cpu-shares", INT, "Relative share of CPU time when CPUs are busy", short="c"),
    Flag("cpus", DECIMAL, "Number of CPUs"),
    Flag("cpuset-cpus", STRING, "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("cpuset-mems", STRING, "Memory nodes in which to allow execution (0-3, 0,1)"),
    Flag("device", LIST, "Add a host device to the container"),
    Flag("device-cgroup-rule", Kind("list", check_device_rule, many=True), "Add a rule to the allowed devices"),
    Flag("device-read-bps", _BPS, "Limit reading from a device in bytes per second (path:rate)"),
    Flag("device-read-iops", _IOPS, "Limit reading from a device in operations per second (path:rate)"),
    Flag("device-write-bps", _BPS, "Limit writing to a device in bytes per second (path:rate)"),
    Flag("device-write-iops", _IOPS, "Limit writing to a device in operations per second (path:rate)"),
    Flag("disable-content-trust", BOOL, "Skip image verification", default=True),
    Flag("dns", Kind("list", check_address, many=True), "Set DNS servers"),
    Flag("dns-opt", LIST, "Set DNS options", stored_as="dns-option", hidden=True),
    Flag("dns-option", LIST, "Set DNS options"),
    Flag("dns-search", Kind("list", check_domain, many=True), "Set DNS search domains"),
    Flag("domainname", STRING, "Container NIS domain name"),
    Flag("dry-run", BOOL, "Change nothing; with --explain, show what would be done"),
    Flag("entrypoint", STRING, "Overwrite the default ENTRYPOINT of the image"),
    Flag("env", Kind("list", check_variable, many=True), "Set environment variables", short="e"),
    Flag("env-file", LIST, "Read environment variables from a file"),
    Flag("explain", EXPLAIN, "Show the steps that make the container, and why: text, json or shell"),
    Flag("expose", LIST, "Expose a port or a range of ports"),
    Flag("gpus", _checked(read_gpus, "gpu-request"), "GPU devices to add to the container"),
    Flag("group-add", LIST, "Add groups to join"),
    Flag("health-cmd", STRING, "Command to run to check health"),
    Flag("health-interval", DURATION, "Time between running the check (ms|s|m|h)"),
    Flag("health-retries", INT, "Consecutive failures needed to report unhealthy"),
    Flag("health-start-interval", DURATION, "Time between running the check during the start period (ms|s|m|h)"),
    Flag("health-start-period", DURATION, "Time the container has to start before failures count (ms|s|m|h)"),
    Flag("health-timeout", DURATION, "Time that one check may take (ms|s|m|h)"),
    Flag("hostname", STRING, "Container host name", short="h"),
    Flag("init", BOOL, "Run an init inside the container that forwards signals and reaps processes"),
    Flag("interactive", BOOL, "Keep STDIN open even if not attached", short="i"),
    Flag("ip", STRING, "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", STRING, "IPv6 address (e.g., 2001:db8::33)"),
    Flag("ipc", STRING, "IPC mode to use"),
    Flag("isolation", STRING, "Container isolation technology"),
    Flag("kernel-memory", BYTES, "Kernel memory limit; no longer has an effect", hidden=True),
    Flag("label", Kind("list", check_label, many=True), "Set metadata on a container", short="l"),
    Flag("label-file", LIST, "Read labels from a file"),
    Flag("link", Kind("list", check_link, many=True), "Add a link to another container"),
    Flag("link-local-ip", LIST, "Link-local addresses"),
    Flag("log-driver", STRING, "Logging driver for the container"),
    Flag("log-opt", LIST, "Log driver options"),
    Flag("mac-address", STRING, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("memory", BYTES, "Memory limit", short="m"),
    Flag("memory-reservation", BYTES, "Memory soft limit"),
    Flag("memory-swap", SWAP, "Limit of memory plus swap; -1 for unlimited swap"),
    Flag("memory-swappiness", INT, "How readily memory is swapped (0 to 100)", default=-1),
    Flag("mount", _checked(read_mount, "mount"), "Attach a file system mount to the container"),
    Flag("name", STRING, "Assign a name to the container"),
    Flag("net", _checked(check_network, "network"), "Connect to a network", stored_as="network", hidden=True),
    Flag("net-alias", LIST, "Add a network-scoped alias", stored_as="network-alias", hidden=True),
    Flag("network", _checked(check_network, "network"), "Connect a container to a network"),
    Flag("network-alias", LIST, "Add a network-scoped alias for the container"),
    Flag("no-healthcheck", BOOL, "Disable the HEALTHCHECK of the image"),
    Flag("oom-kill-disable", BOOL, "Do not kill when memory runs out"),
    Flag("oom-score-adj", INT, "Preference of the host for killing the container (-1000 to 1000)"),
    Flag("pid", STRING, "PID namespace to use"),
    Flag("pids-limit", INT, "Limit of processes (-1 for unlimited)"),
    Flag("platform", STRING, "Set platform if server is multi-platform capable"),
    Flag("privileged", BOOL, "Give extended privileges to this container"),
    Flag("publish", LIST, "Publish a container's port(s) to the host", short="p"),
    Flag("publish-all", BOOL, "Publish all exposed ports to random ports", short="P"),
    Flag("pull", STRING, 'Pull image first ("always", "missing", "never")', default="missing"),
    Flag("quiet", BOOL, "Suppress the pull output", short="q"),
    Flag("read-only", BOOL, "Mount the container's root file system as read only"),
    Flag("restart", STRING, "Restart policy to apply when a container exits", default="no"),
    Flag("rm", BOOL, "Automatically remove the container and its anonymous volumes when it exits"),
    Flag("runtime", STRING, "Runtime to use for this container"),
    Flag("security-opt", LIST, "Security options"),
    Flag("shm-size", BYTES, "Size of /dev/shm"),
    Flag("simulate", BOOL, "Make the container on a model of Linux and show what it would see; with --explain, what each step changes"),
    Flag("stop-signal", STRING, "Signal to stop the container"),
    Flag("stop-timeout", INT, "Seconds to wait before killing a container that is stopped"),
    Flag("storage-opt", LIST, "Storage driver options for the container"),
    Flag("sysctl", Kind("map", check_sysctl, many=True), "Sysctl options"),
    Flag("tmpfs", LIST, "Mount a tmpfs directory"),
    Flag("tty", BOOL, "Allocate a pseudo-TTY", short="t"),
    Flag("ulimit", _checked(read_ulimit, "ulimit"), "Resource limits"),
    Flag("use-api-socket", BOOL, "Bind mount the API socket into the container", hidden=True),
    Flag("user", STRING, "Username or UID (format: <name|uid>[:<group|gid>])", short="u"),
    Flag("userns", STRING, "User namespace to use"),
    Flag("uts", STRING, "UTS namespace to use"),
    Flag("volume", LIST, "Bind mount a volume", short="v"),
    Flag("volume-driver", STRING, "Volume driver for the container"),
    Flag("volumes-from", LIST, "Mount volumes from the specified container(s)"),
    Flag("workdir", STRING, "Working directory inside the container", short="w"),
)
"""What `create` knows, by name."""

RUN_FLAGS = (
    *CREATE_FLAGS,
    Flag("detach", BOOL, "Run container in background and print container ID", short="d"),
    Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
    Flag("sig-proxy", BOOL, "Proxy received signals to the process", default=True),
)
