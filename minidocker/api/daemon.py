"""The server process: locks its place, opens its sockets, serves, and leaves in order.

Single-threaded until the launcher has been spawned and the overlay test has forked; threaded from then on. SIGTERM and SIGINT
end it: no new connections, the launcher goes, the containers and their monitors stay. Chapter 12.
"""

from __future__ import annotations

import fcntl
import os
import signal
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker.api.application import make_application
from minidocker.api.listener import Listener, open_listener
from minidocker.api.response import COMMON_HEADERS
from minidocker.api.server import Server
from minidocker.engine.engine import Engine, EngineConfig, open_engine
from minidocker.engine.recover import recover, remove_empty_groups
from minidocker.engine.remap import find_id_map, make_remapped_root
from minidocker.engine.rootless import enter_rootless, leave_rootless
from minidocker.errors import Conflict, HostError, InvalidParameter
from minidocker.fingerprint import source_fingerprint
from minidocker.network.settings import NetworkSettings
from minidocker.registry.endpoints import HUB_DOMAIN, RegistryConfig, plan_endpoints

if TYPE_CHECKING:
    from minidocker.engine.options import DaemonOptions

__all__ = ["run_daemon"]

IDLE_POLL_S: Final = 1.0
"""How often an idling server looks whether it may end."""


def run_daemon(options: DaemonOptions) -> int:
    """Serve until told to end; return the exit status.

    Raises:
        Conflict: another server uses the data root or listens there.
        HostError, InvalidParameter, Forbidden: an address, a certificate or a directory cannot be used.
    """
    data_root, exec_root = Path(options.data_root).absolute(), Path(options.exec_root).absolute()
    if options.storage_driver not in ("", "overlay2", "vfs"):
        raise InvalidParameter(f"no storage driver `{options.storage_driver}`", hint="there are `overlay2` and `vfs`")
    lock = _lock_data_root(data_root)
    registries = RegistryConfig(mirrors=options.registry_mirrors, insecure=options.insecure_registries)
    plan_endpoints(HUB_DOMAIN, registries)  # a mirror whose address is wrong is said now, not with the first pull
    config = EngineConfig(
        data_root=data_root, exec_root=exec_root, driver=options.storage_driver, registries=registries, networks=options.networks,
        defaults=options.defaults,
    )  # fmt: skip
    config = _without_root(config, options) if os.geteuid() != 0 else _with_users(config, options.userns_remap)
    try:
        engine = open_engine(config)
        engine.launcher.start()
        listeners = _open_listeners(options)
    except BaseException:
        _end_anchor(config)
        raise
    recover(engine)
    headers = (*COMMON_HEADERS, ("Minidocker-Source", source_fingerprint()))  # so that a client of other source can warn
    server = Server(listeners, make_application(engine, on_defect=_report_defect), headers=headers)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    if options.idle_timeout_s > 0:
        threading.Thread(target=_stop_when_idle, args=(server, engine, options.idle_timeout_s), daemon=True).start()
    pidfile = Path(options.pidfile)
    pidfile.parent.mkdir(parents=True, exist_ok=True)
    pidfile.write_text(f"{os.getpid()}\n", encoding="ascii")
    for listener in listeners:
        print(f"minidocker: listening on {listener.address}", file=sys.stderr, flush=True)
    try:
        server.run()
    finally:
        _leave(engine, pidfile)
        os.close(lock)
    return 0


def _with_users(config: EngineConfig, word: str) -> EngineConfig:
    """Return *config* with the users that `--userns-remap` gives to containers."""
    if not word:
        return config
    ids = find_id_map(word)
    return replace(config, data_root=make_remapped_root(config.data_root, ids), ids=ids, remaps=True)


def _without_root(config: EngineConfig, options: DaemonOptions) -> EngineConfig:
    """Become root of a user namespace; say in a line each what is not to be had there."""
    if options.userns_remap:
        raise InvalidParameter("remap users: a server without root is in a user namespace already", hint="leave --userns-remap out")
    rootless = enter_rootless(config.exec_root)
    for note in rootless.notes:
        print(f"minidocker: {note}", file=sys.stderr, flush=True)
    networks = replace(config.networks or NetworkSettings(), way_out_dns=rootless.dns)
    return replace(config, ids=rootless.read_ids(), rootless=rootless, networks=networks)


def _end_anchor(config: EngineConfig) -> None:
    """End what a server without root leaves, unless containers of an earlier one need it."""
    if config.rootless is not None and not any(len(path.name) == 64 for path in config.exec_root.iterdir()):
        leave_rootless(config.rootless, config.exec_root)


def _lock_data_root(data_root: Path) -> int:
    """Hold the data root for as long as the process lives: two engines in one would undo each other's work."""
    try:
        data_root.mkdir(mode=0o711, parents=True, exist_ok=True)
        fd = os.open(data_root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"open data root `{data_root}`: {(error.strerror or '').lower()}", hint="--data-root names another") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise Conflict(
            f"another server uses data root `{data_root}`", hint="stop it with `minidocker daemon --stop`, or give --data-root"
        ) from error
    return fd


def _open_listeners(options: DaemonOptions) -> list[Listener]:
    tls = _make_tls_context(options) if options.tls or options.tls_verify else None
    listeners: list[Listener] = []
    try:
        for address in options.hosts:
            listeners += [open_listener(address, tls=None if address.startswith("unix://") else tls)]
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def _make_tls_context(options: DaemonOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
        if options.tls_verify:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(options.tls_ca_cert)
    except (OSError, ssl.SSLError) as error:
        raise InvalidParameter(f"use the TLS files: {error}", hint="--tlscert, --tlskey and --tlscacert name PEM files") from error
    return context


def _stop_when_idle(server: Server, engine: Engine, timeout_s: float) -> None:
    """End a server that a client started and nobody needs: no container runs, no request comes."""
    while server.idle_s < timeout_s or engine.has_running_containers():
        time.sleep(IDLE_POLL_S)
    print("minidocker: idle, ending", file=sys.stderr, flush=True)
    server.stop()


def _report_defect(error: Exception) -> None:
    traceback.print_exception(error, file=sys.stderr)


def _leave(engine: Engine, pidfile: Path) -> None:
    steps: tuple[Callable[[], None], ...] = (engine.launcher.close, engine.networks.close, partial(remove_empty_groups, engine))
    for step in steps:
        with suppress(OSError, HostError):  # the rest has to go all the same
            step()
    _end_anchor(engine.config)
    pidfile.unlink(missing_ok=True)
