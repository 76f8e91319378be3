def _plan_birth(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    config, pids = record.host_config, dict(around.namespace_pids)
    if _mode_of(config.pid_mode) == "private":
        yield Unshare(namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="")
    elif _mode_of(config.pid_mode) == "container":
        yield Join(pid=pids["pid"], namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="")
    yield ForkInit(why="")
    namespaces = Clone.NEWNS
    for flag, name, mode in ((Clone.NEWUTS, "uts", config.uts_mode), (Clone.NEWIPC, "ipc", config.ipc_mode), (Clone.NEWNET, "net", config.network_mode)):
        if _mode_of(mode) == "container":
            yield Join(pid=pids[name], namespaces=flag, actor=Actor.INIT, why="")
        elif _mode_of(mode) != "host":
            namespaces |= flag
    yield Unshare(namespaces=namespaces, actor=Actor.INIT, why="")
    if _mode_of(config.cgroupns_mode) != "host":
        yield Unshare(namespaces=Clone.NEWCGROUP, actor=Actor.INIT, why="")
    yield from around.cgroup_join
