def _plan_kernel_mounts(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    config = record.host_config
    sys_flags = _GUARD if config.privileged else _GUARD | Ms.RDONLY
    yield Mount(source="proc", target="/proc", fstype="proc", flags=_GUARD, why="")
    yield Mount(source="tmpfs", target="/dev", fstype="tmpfs", flags=Ms.NOSUID, data="mode=755,size=65536k", why="")
    yield Mount(source="devpts", target="/dev/pts", fstype="devpts", flags=Ms.NOSUID | Ms.NOEXEC, data="newinstance,ptmxmode=0666", why="")
    yield Mount(source="sysfs", target="/sys", fstype="sysfs", flags=sys_flags, why="")
    yield from around.cgroup_view
    yield Mount(source="mqueue", target="/dev/mqueue", fstype="mqueue", flags=_GUARD, why="")
    yield Mount(source="shm", target="/dev/shm", fstype="tmpfs", flags=_GUARD, data=f"size={config.shm_size or DEFAULT_SHM_BYTES}", why="")
