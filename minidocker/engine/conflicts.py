"""What cannot be asked of `create`: options that contradict each other, the machine, or what this engine has.

Each refusal is one sentence in Docker's words, because scripts and people look for them. What the kernel alone can know is left to
the start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from minidocker.container.capabilities import parse_capability
from minidocker.errors import InvalidParameter
from minidocker.spec.container import ContainerConfig, HostConfig, LogConfig

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["check_host_config", "check_log_config", "parse_cpu_list", "parse_size"]

_RESTART_POLICIES: Final = ("no", "always", "unless-stopped", "on-failure")
_LOG_OPTIONS: Final = {
    "json-file": {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"},
    "local": {"max-size", "max-file", "compress", "mode", "max-buffer-size"},
    "none": None,
}
"""Log drivers with the options that they know; None: any, as they do nothing."""
_CONFLICTS: Final[tuple[tuple[Callable[[ContainerConfig, HostConfig], bool], str], ...]] = (
    (lambda c, h: _shares(h) and bool(c.hostname), "hostname and the network mode"),
    (lambda c, h: h.uts_mode == "host" and bool(c.hostname), "hostname and the UTS mode"),
    (lambda c, h: _shares(h) and bool(h.extra_hosts), "custom host-to-IP mapping and the network mode"),
    (lambda c, h: _shares(h) and bool(h.dns), "dns and the network mode"),
    (lambda c, h: _shares(h) and bool(c.mac_address), "mac-address and the network mode"),
    (lambda c, h: _shares(h) and bool(h.port_bindings), "port publishing and the container type network mode"),
    (lambda c, h: _shares(h) and bool(c.exposed_ports), "port exposing and the container type network mode"),
)
"""Pairs of options of which only one can be meant."""


_REMAP_CONFLICTS: Final[tuple[tuple[Callable[[HostConfig], bool], str], ...]] = (
    (lambda h: h.privileged, "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode"),
    (lambda h: h.network_mode == "host", "cannot share the host's network namespace when user namespaces are enabled"),
    (lambda h: h.pid_mode == "host", "cannot share the host PID namespace when user namespaces are enabled"),
)
"""What would take a privilege on the host that the container's root has not."""


def _shares(host: HostConfig) -> bool:
    """Whether the container lives in another one's network namespace: its names and ports are the other's."""
    return host.network_mode.startswith("container:")


def check_host_config(engine: Engine, asked: ContainerConfig, host: HostConfig) -> None:
    """Refuse a request that cannot be met.

    Raises:
        InvalidParameter: with the reason.
    """
    for holds, what in _CONFLICTS:
        if holds(asked, host):
            raise InvalidParameter(f"conflicting options: {what}")
    if engine.config.remaps and host.userns_mode != "host":
        for is_asked, what in _REMAP_CONFLICTS:
            if is_asked(host):
                raise InvalidParameter(what, hint="--userns=host gives this container the host's users")
    if host.userns_mode not in ("", "host"):
        raise InvalidParameter("invalid user namespace mode: " + host.userns_mode)
    _check_ipc(engine, host)
    _check_sysctls(host)
    _check_security(host)
    _check_restart(host)
    check_log_config(host.log_config)
    for key, names in (("CapAdd", host.cap_add), ("CapDrop", host.cap_drop)):
        _check_capabilities(key, names, last_cap=engine.host.last_capability)
    for what, asked_list, available in (("CPUs", host.cpuset_cpus, engine.host.cpus), ("memory nodes", host.cpuset_mems, 1)):
        _check_cpu_list(what, asked_list, range(available))
    if host.runtime != "runc":
        raise InvalidParameter(f"unknown or invalid runtime name: {host.runtime}")
    if host.device_requests:
        raise InvalidParameter('could not select device driver "" with capabilities: [[gpu]]', hint="there is none; use --device")
    if host.isolation not in ("", "default"):
        raise InvalidParameter(f'invalid isolation "{host.isolation}": Linux has only "default"')
    if host.links and host.network_mode == "host":
        raise InvalidParameter("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
    if host.links and _shares(host):
        raise InvalidParameter("conflicting options: container type network can't be used with links. This would result in undefined behavior")
    if host.shm_size < 0:
        raise InvalidParameter("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidParameter(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")


def _check_ipc(engine: Engine, host: HostConfig) -> None:
    kind, _, other = host.ipc_mode.partition(":")
    if kind not in ("", "none", "private", "shareable", "host", "container") or (kind == "container") != bool(other):
        raise InvalidParameter(f"invalid IPC mode: {host.ipc_mode}")
    if other:
        donor = engine.containers.require(other).record
        if donor.host_config.ipc_mode in ("private", "none"):
            raise InvalidParameter(
                f"failed to join IPC namespace: container {donor.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            )


def _check_sysctls(host: HostConfig) -> None:
    """Refuse what would change the host: a parameter belongs to the namespace that the container has from it."""
    for name in host.sysctls:
        if name.startswith("net.") and host.network_mode == "host":
            raise InvalidParameter(f'sysctl "{name}" not allowed in host network namespace')
        if name.startswith(("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")) and host.ipc_mode == "host":
            raise InvalidParameter(f'sysctl "{name}" is not allowed in the hosts ipc namespace')


def _check_security(host: HostConfig) -> None:
    known = ("label", "apparmor", "seccomp", "no-new-privileges", "systempaths")
    for option in host.security_opt:
        key = re.split("[=:]", option, maxsplit=1)[0]
        if option == "disable":
            continue
        if key not in known:
            kind = 1 if key == option else 2
            raise InvalidParameter(f'invalid --security-opt {kind}: "{option}"')


def _check_restart(host: HostConfig) -> None:
    policy = host.restart_policy
    if policy.name not in _RESTART_POLICIES:
        known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        raise InvalidParameter(f"invalid restart policy: unknown policy '{policy.name}'; {known}")
    if host.auto_remove and policy.name != "no":
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidParameter("invalid restart policy: maximum retry count can only be used with 'on-failure'")


def check_log_config(log: LogConfig) -> None:
    """Refuse a log driver that is not here, or an option that it does not know.

    Raises:
        InvalidParameter: in Docker's words.
    """
    if log.type not in _LOG_OPTIONS:
        raise InvalidParameter(f'error looking up logging plugin {log.type}: plugin "{log.type}" not found')
    known = _LOG_OPTIONS[log.type]
    for option in log.config if known is not None else ():
        if option not in (known or ()):
            raise InvalidParameter(f"unknown log opt '{option}' for {log.type} log driver")
    parse_size(log.config.get("max-size", ""))
    if not log.config.get("max-file", "1").isdigit():
        raise InvalidParameter(f"invalid value for max-file: {log.config['max-file']}")


def _check_capabilities(key: str, names: Iterable[str], *, last_cap: int) -> None:
    for name in names:
        try:
            parse_capability(name, last_cap=last_cap)
        except InvalidParameter as error:
            word = name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}"
            raise InvalidParameter(f'invalid {key}: unknown capability: "{word}"', hint=error.hint) from error


def parse_cpu_list(text: str) -> frozenset[int]:
    """Return the numbers in a list such as `0-2,5`; see cpuset(7), "List format".

    Raises:
        ValueError: it is no such list.
    """
    numbers: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        numbers.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(numbers)


def _check_cpu_list(what: str, asked: str, available: range) -> None:
    try:
        numbers = parse_cpu_list(asked)
    except ValueError:
        option = "cpus" if what == "CPUs" else "mems"
        raise InvalidParameter(f"Invalid value {asked} for cpuset {option}") from None
    if not numbers <= set(available):
        here = f"0-{len(available) - 1}" if len(available) > 1 else "0"
        raise InvalidParameter(f"Requested {what} are not available - requested {asked}, available: {here}")


def parse_size(text: str) -> int:
    """Return the bytes that `10m` spells; nothing is 0.

    Raises:
        InvalidParameter: no number with a unit.
    """
    units = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number = text.lower().rstrip("bkmg")
    unit = text.lower()[len(number) :].rstrip("b") if text.lower()[len(number) :] != "b" else ""
    if text and (not number.isdigit() or unit not in units):
        raise InvalidParameter(f"invalid size: '{text}'")
    return int(number or 0) * units[unit]
