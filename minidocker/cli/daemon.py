"""`daemon`: start the server in the foreground, or stop one.

Acts. This module reads the command line and leaves; `minidocker.api.daemon` is the server. Chapter 14.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from minidocker.cli.command import Command
from minidocker.cli.flags import BOOL, BYTES, DURATION, INT, LIST, STRING, Flag, UsageError, parse_flags
from minidocker.engine.places import default_config_file, default_data_root, default_exec_root, default_pidfile, default_socket
from minidocker.errors import HostError, InvalidParameter, NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.engine.defaults import ContainerDefaults
    from minidocker.engine.options import DaemonOptions

__all__ = ["DAEMON", "read_daemon_options"]

STOP_LIMIT_S = 30.0
POLL_S = 0.02
IDLE_NS = 15 * 60 * 1_000_000_000
"""A server that a client started ends after this long without work: a lesson's length."""


def _with_file(options: Options, uid: int) -> Options:
    """Return *options* with what `daemon.json` says put in front.

    Raises:
        HostError, InvalidParameter: as `read_daemon_file` and `compose_words`, or a value that its flag does not take.
    """
    from minidocker.cli.daemon_file import WITHOUT_EFFECT, compose_words, read_daemon_file

    path = options.text("config-file") or default_config_file(uid, os.environ)
    document = read_daemon_file(path, is_named="config-file" in options.given)
    try:
        merged = parse_flags(DAEMON.flags, compose_words(document, path=path, given=options.given))
    except UsageError as error:
        raise InvalidParameter(f"unable to configure the Docker daemon with file {path}: {error.message}") from error
    for key in sorted(document.keys() & WITHOUT_EFFECT):
        print(f"minidocker: `{key}` in {path} has no effect here", file=sys.stderr)
    merged.overlay(options)
    return merged


def _read_defaults(options: Options) -> ContainerDefaults:
    from minidocker.cli.run_values import read_ulimit
    from minidocker.engine.conflicts import check_log_config
    from minidocker.engine.defaults import ContainerDefaults
    from minidocker.spec.container import LogConfig, Ulimit
    from minidocker.spec.record import read_record

    try:
        ulimits = tuple(read_record(Ulimit, read_ulimit(text)) for text in options.texts("default-ulimit"))
    except ValueError as error:
        raise InvalidParameter(str(error)) from error
    check_log_config(LogConfig(type=options.text("log-driver"), config=options.mapping("log-opt")))
    for flag, known in (("default-ipc-mode", ("private", "shareable")), ("default-cgroupns-mode", ("private", "host"))):
        if options.text(flag) not in known:
            raise InvalidParameter(f"{flag}: `{options.text(flag)}` is none of {', '.join(known)}")
    return ContainerDefaults(
        log_driver=options.text("log-driver"), log_options=options.mapping("log-opt"), ulimits=ulimits,
        shm_size=options.number("default-shm-size"), ipc_mode=options.text("default-ipc-mode"),
        cgroupns_mode=options.text("default-cgroupns-mode"),
    )  # fmt: skip


def read_daemon_options(options: Options, uid: int) -> DaemonOptions:
    """Return what the flags of `daemon` and its file say, with this user's defaults."""
    from minidocker.engine.options import DaemonOptions
    from minidocker.network.settings import read_network_settings

    options = _with_file(options, uid)
    hosts = tuple(options.texts("host")) or (f"unix://{default_socket(uid, os.environ)}",)
    autostarted = options.switch("autostarted")
    idle_ns = options.number("idle-timeout") if "idle-timeout" in options.given or not autostarted else IDLE_NS
    return DaemonOptions(
        hosts=hosts,
        data_root=options.text("data-root") or default_data_root(uid, os.environ),
        exec_root=options.text("exec-root") or default_exec_root(uid, os.environ),
        pidfile=_pidfile_of(options, uid),
        tls=options.switch("tls") or options.switch("tlsverify"),
        tls_verify=options.switch("tlsverify"),
        tls_ca_cert=options.text("tlscacert"),
        tls_cert=options.text("tlscert"),
        tls_key=options.text("tlskey"),
        insecure_registries=tuple(options.texts("insecure-registry")),
        registry_mirrors=tuple(options.texts("registry-mirror")),
        networks=read_network_settings(
            host_ip=options.text("ip"), pools=options.texts("default-address-pool"), bridge_address=options.text("bip"),
            bridge_subnet6=options.text("fixed-cidr-v6"), icc=options.switch("icc"), mtu=options.number("mtu"),
            dns=options.texts("dns"), dns_search=options.texts("dns-search"), dns_options=options.texts("dns-opt"),
            host_gateway=options.text("host-gateway-ip"),
        ),
        storage_driver=options.text("storage-driver"),
        userns_remap=options.text("userns-remap"),
        defaults=_read_defaults(options),
        log_level="debug" if options.switch("debug") else options.text("log-level"),
        idle_timeout_s=idle_ns / 1e9,
        autostarted=autostarted,
    )


def daemon(session: Session, options: Options) -> int:
    """Run a server until it is told to end, or with `--stop` tell one."""
    if sys.platform != "linux":
        raise Unavailable(
            f"start a server: containers are made of Linux namespaces and control groups, which `{sys.platform}` has not",
            hint="run the server on Linux or in a Linux VM, and name it here with -H",
        )
    if options.arguments:
        raise InvalidParameter(f"unknown argument `{options.arguments[0]}`", hint="`daemon` takes flags only")
    uid = os.geteuid()
    if options.switch("stop"):
        return _stop(_pidfile_of(options, uid))
    from minidocker.api.daemon import run_daemon

    return run_daemon(read_daemon_options(options, uid)) or 0


def _pidfile_of(options: Options, uid: int) -> str:
    """Return the file with the server's process id: named, or beside the socket that `-H` names, or the default."""
    if options.text("pidfile"):
        return options.text("pidfile")
    for host in options.texts("host"):
        if host.startswith("unix://"):
            return host.removeprefix("unix://").removesuffix(".sock") + ".pid"
    return default_pidfile(uid, os.environ)


def _stop(pidfile: str) -> int:
    """End the server whose process id is in *pidfile*, and wait until it is gone; its containers go on.

    Raises:
        NotFound: no server runs there.
        HostError: it does not end, or may not be told to.
    """
    try:
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        _check_is_server(pid)
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError, ValueError) as error:
        raise NotFound(f"stop the server: none runs (`{pidfile}`)", hint="`--pidfile` or `-H` names another one") from error
    except PermissionError as error:
        raise HostError(f"stop the server: process {pid} belongs to somebody else", hint="run it with sudo") from error
    deadline = time.monotonic() + STOP_LIMIT_S
    while os.path.exists(f"/proc/{pid}"):
        if time.monotonic() > deadline:
            raise HostError(f"stop the server: process {pid} goes on after {STOP_LIMIT_S:.0f} s", hint=f"`kill -9 {pid}` ends it")
        time.sleep(POLL_S)
    return 0


def _check_is_server(pid: int) -> None:
    """Refuse to signal a process that only has a dead server's number."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        if b"minidocker" not in file.read():
            raise ProcessLookupError(pid)


DAEMON = Command(
    "[OPTIONS]",
    daemon,
    (
        Flag("autostarted", BOOL, "Started by a client", hidden=True),
        Flag("bip", STRING, "Address and prefix length of the default bridge, such as 10.9.0.1/24"),
        Flag("config-file", STRING, "Daemon configuration file, by default /etc/minidocker/daemon.json"),
        Flag("data-root", STRING, "Directory of images, containers and volumes"),
        Flag("debug", BOOL, "Enable debug mode", short="D"),
        Flag("default-address-pool", LIST, "Where subnets of networks come from: base=SUBNET,size=LENGTH"),
        Flag("default-cgroupns-mode", STRING, "Cgroup namespace of containers that name none: host or private", default="private"),
        Flag("default-ipc-mode", STRING, "Ipc namespace of containers that name none: shareable or private", default="private"),
        Flag("default-shm-size", BYTES, "Size of /dev/shm of containers that name none"),
        Flag("default-ulimit", LIST, "Limit of containers that name none, such as nofile=1024:2048"),
        Flag("dns", LIST, "DNS server of containers that name none"),
        Flag("dns-opt", LIST, "DNS option of containers that name none"),
        Flag("dns-search", LIST, "DNS search domain of containers that name none"),
        Flag("exec-root", STRING, "Directory for what need not survive a reboot"),
        Flag("fixed-cidr-v6", STRING, "IPv6 subnet of the default bridge; without it has no IPv6"),
        Flag("host", LIST, "Socket to listen on: unix://PATH or tcp://ADDRESS[:PORT]", short="H"),
        Flag("host-gateway-ip", STRING, "What host-gateway stands for in --add-host; default: the default bridge's address"),
        Flag("icc", BOOL, "Let containers on the default bridge reach each other", default=True),
        Flag("idle-timeout", DURATION, "End after this long without containers and requests; 0 never ends"),
        Flag("insecure-registry", LIST, "Registry that may be spoken to without TLS"),
        Flag("ip", STRING, "Host address of published ports that name none; 127.0.0.1 keeps them on this machine"),
        Flag("log-driver", STRING, "Log driver of containers that name none", default="json-file"),
        Flag("log-level", STRING, "Set the logging level", short="l", default="info"),
        Flag("log-opt", LIST, "Option of that log driver, such as max-size=10m"),
        Flag("mtu", INT, "Largest packet on bridges; 0 is 1500"),
        Flag("pidfile", STRING, "File for the server's process id", short="p"),
        Flag("registry-mirror", LIST, "Registry to ask before Docker Hub"),
        Flag("stop", BOOL, "End the running server; containers go on"),
        Flag("storage-driver", STRING, "How layers are stacked: overlay2, or vfs for plain copies", short="s"),
        Flag("tls", BOOL, "Use TLS; implied by --tlsverify"),
        Flag("tlscacert", STRING, "Trust clients with certificates signed by this CA"),
        Flag("tlscert", STRING, "Path to the TLS certificate file"),
        Flag("tlskey", STRING, "Path to the TLS key file"),
        Flag("tlsverify", BOOL, "Use TLS and verify the client"),
        Flag("userns-remap", STRING, "User whose subordinate numbers the users of containers get: USER[:GROUP], UID:GID or default"),
    ),
)
