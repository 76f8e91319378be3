def _plan_birth(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    yield Unshare(namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="")
    yield ForkInit(why="")
    yield Unshare(namespaces=Clone.NEWNS | Clone.NEWUTS | Clone.NEWIPC | Clone.NEWNET, actor=Actor.INIT, why="")
    yield from around.cgroup_join
    yield Unshare(namespaces=Clone.NEWCGROUP, actor=Actor.INIT, why="")
