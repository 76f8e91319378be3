"""The engine's shared state, and how it is opened and closed.

Everything that takes long (the bridge, the built-in images) waits until it is needed. Bringing the records in line with the
world after a crash or an upgrade is `minidocker.engine.recover`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from minidocker.build.cache import BuildCache
from minidocker.codec.idmap import IDENTITY, IdMap
from minidocker.cgroup.layout import CgroupLayout, find_delegated_layout, find_own_procs, read_layout
from minidocker.container.host import Host, read_host
from minidocker.container.plan import PLAIN_OVERLAY, USER_OVERLAY
from minidocker.container.launcher import Launcher
from minidocker.container.logs import format_time
from minidocker.container.record import NetworkEndpoint
from minidocker.engine.build_mounts import CacheMounts
from minidocker.engine.defaults import ContainerDefaults
from minidocker.engine.events import Event, EventBus
from minidocker.engine.monitors import kill_monitor
from minidocker.engine.networks import Networks
from minidocker.engine.rootless import Rootless
from minidocker.engine.store import ContainerStore, Handle
from minidocker.engine.transfers import Registries
from minidocker.image.store import ImageStore
from minidocker.kernel import mount, namespaces, process
from minidocker.kernel.overlay import OPAQUE_XATTRS
from minidocker.kernel.flags import Clone, Ms
from minidocker.network.record import BUILT_IN_NETWORKS, NetworkRecord
from minidocker.network.settings import NetworkSettings
from minidocker.registry.endpoints import RegistryConfig
from minidocker.volume.store import VolumeStore

__all__ = ["Engine", "EngineConfig", "can_stack_overlays", "hasten_moves", "now", "open_engine", "publish_container_event", "publish_network_event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Where an engine keeps its things."""

    data_root: Path
    """Images, containers, volumes: survives a reboot."""
    exec_root: Path
    """Sockets of monitors: belongs to this boot."""
    driver: str = ""
    """`overlay2` or `vfs`; empty: the first that works."""
    registries: RegistryConfig = RegistryConfig()
    """Mirrors, and who may be spoken to without TLS."""
    networks: NetworkSettings | None = None
    """What it is told about networks; None is Docker's defaults."""
    ids: IdMap = IDENTITY
    """Who the users of containers are on this machine."""
    remaps: bool = False
    """Whether containers get user namespaces with that map."""
    rootless: Rootless | None = None
    """What a server without root has."""
    defaults: ContainerDefaults = ContainerDefaults()
    """What a container gets that does not say."""


@dataclass(slots=True, kw_only=True)
class Engine:
    """One engine. Its parts are safe to use from several threads; a container's changes are ordered by its handle's lock."""

    config: EngineConfig
    host: Host
    layout: CgroupLayout
    images: ImageStore
    containers: ContainerStore
    volumes: VolumeStore
    networks: Networks
    events: EventBus
    registries: Registries
    launcher: Launcher
    build_cache: BuildCache
    cache_mounts: CacheMounts
    driver: str
    builds: dict[str, Callable[[], None]] = field(default_factory=dict)
    """How to stop each build that works, by the id that its client gave it."""
    own_procs: str = ""
    """The `cgroup.procs` file of the group that the server itself is in."""

    @property
    def data_root(self) -> Path:
        """Where images, containers and volumes are."""
        return self.config.data_root

    @property
    def ids(self) -> IdMap:
        """Who the users of containers are on this machine."""
        return self.config.ids

    @property
    def overlay_options(self) -> str:
        """What an overlay needs beside its layers: in a user namespace its marks are attributes that users may set."""
        return USER_OVERLAY if self.config.rootless is not None else PLAIN_OVERLAY

    @property
    def exec_root(self) -> Path:
        """Where the monitors' sockets are."""
        return self.config.exec_root

    def monitor_directory(self, container_id: str) -> Path:
        """Return the directory of a container's monitor socket."""
        return self.exec_root / container_id

    def container_images(self) -> frozenset[str]:
        """Return the ids of the images that containers use."""
        return frozenset(handle.record.image_id for handle in self.containers.all())

    def has_running_containers(self) -> bool:
        """Whether any container runs."""
        return any(handle.record.state.running for handle in self.containers.all())


def hasten_moves(engine: Engine) -> None:
    """Let a process that is soon to join a control group wait less.

    Moving a process makes the kernel wait until all processors have seen the lock taken (a grace period of RCU, 5 to 15 ms). A
    thread moves ourselves to the group that we are in: that changes nothing, but begins the wait now.
    """
    threading.Thread(target=_move_nowhere, args=(engine.own_procs,), name="md:grace", daemon=True).start()


def _move_nowhere(own_procs: str) -> None:
    with suppress(OSError):  # then init waits longer
        fd = os.open(own_procs, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)


def now() -> str:
    """Return the present time as records keep it."""
    return format_time(time.time_ns())


def publish_container_event(engine: Engine, handle: Handle, action: str, **attributes: str) -> None:
    """Tell whoever listens what happened to a container."""
    record = handle.record
    about = {"image": record.config.image, "name": record.name, **record.config.labels, **attributes}
    engine.events.publish(
        Event(type="container", action=action, actor_id=record.id, attributes=about, time_ns=time.time_ns())
    )


def publish_network_event(engine: Engine, action: str, network: NetworkRecord | NetworkEndpoint, *, container: str = "") -> None:
    """Tell whoever listens what happened to a network, or to a container in one."""
    if isinstance(network, NetworkEndpoint):
        identity, name, driver = network.network_id, network.network, BUILT_IN_NETWORKS.get(network.network, "bridge")
    else:
        identity, name, driver = network.id, network.name, network.driver
    about = {**({"container": container} if container else {}), "name": name, "type": driver}
    engine.events.publish(Event(type="network", action=action, actor_id=identity, attributes=about, time_ns=time.time_ns()))


def open_engine(config: EngineConfig) -> Engine:
    """Return an engine over the directories in *config*; `recover` brings it in line with the world."""
    for directory, mode in ((config.data_root, 0o711), (config.exec_root, 0o700)):
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    _end_forgotten_steps(config)
    containers = ContainerStore(config.data_root / "containers")
    build_cache = BuildCache(config.data_root / "build")
    images = ImageStore(
        config.data_root, also_used=build_cache.references, layers_in_use=lambda: {name for handle in containers.all() for name in handle.record.layers},
        ids=config.ids, opaque_xattr=OPAQUE_XATTRS[config.rootless is not None],
    )
    driver = config.driver or ("overlay2" if can_stack_overlays(config.data_root, options=PLAIN_OVERLAY if config.rootless is None else USER_OVERLAY) else "vfs")
    if config.rootless is not None:
        namespaces.set_network_home(config.rootless.network)
    layout = read_layout() if config.rootless is None else find_delegated_layout(read_layout())
    return Engine(
        config=config, host=read_host(), layout=layout, images=images,
        own_procs=find_own_procs(layout, Path("/proc/self/cgroup").read_text(encoding="utf-8")),
        containers=containers, volumes=VolumeStore(config.data_root / "volumes", owner=config.ids.root if config.ids is not IDENTITY else None),
        networks=Networks(config.data_root, config.exec_root / "names", config.networks), events=EventBus(), registries=Registries(config.registries),
        launcher=Launcher(), driver=driver, build_cache=build_cache,
        cache_mounts=CacheMounts(config.data_root / "build" / "mounts"),
    )  # fmt: skip


def _end_forgotten_steps(config: EngineConfig) -> None:
    """Kill what a server that was killed in a build has left: a RUN has a monitor, but no record, and no meaning without the build."""
    for directory in config.exec_root.iterdir():
        if len(directory.name) == 64 and not (config.data_root / "containers" / directory.name / "config.json").exists():
            kill_monitor(directory)
            shutil.rmtree(directory, ignore_errors=True)


def can_stack_overlays(directory: Path, *, options: str = PLAIN_OVERLAY) -> bool:
    """Whether overlayfs accepts *directory* as its upper layer; a child tries it in a mount namespace of its own.

    Runs before the server has a second thread, so that it may fork.
    """
    with tempfile.TemporaryDirectory(dir=directory, prefix=".probe-") as probe:
        for name in ("lower", "upper", "work", "merged"):
            Path(probe, name).mkdir()
        child = os.fork()
        if child == 0:
            process.exit_child(int(not _try_overlay(probe, options)))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _try_overlay(probe: str, options: str) -> bool:
    try:
        namespaces.unshare(Clone.NEWNS)
        mount.separate_mounts(Ms.PRIVATE)
        data = f"lowerdir={probe}/lower,upperdir={probe}/upper,workdir={probe}/work,{options}"
        mount.mount("overlay", f"{probe}/merged", fstype="overlay", data=data)
    except OSError:
        return False
    return True
