def _limits_v2(host: HostConfig) -> Iterator[Write]:
    if host.memory > 0:
        yield "memory", "memory.max", str(host.memory), False, ""
        total = _swap_total(host)
        yield "memory", "memory.swap.max", "max" if total < 0 else str(total - host.memory), True, ""
    if host.memory_reservation:
        yield "memory", "memory.low", str(host.memory_reservation), False, ""
    quota, period = _cpu_quota(host)
    if quota:
        yield "cpu", "cpu.cfs_period_us", str(period), False, ""
        yield "cpu", "cpu.cfs_quota_us", str(quota), False, ""
    if host.cpu_shares:
        yield "cpu", "cpu.weight", str(compute_cpu_weight(host.cpu_shares)), False, ""
    yield from _cpuset(host)
    if host.pids_limit and host.pids_limit > 0:
        yield "pids", "pids.max", str(host.pids_limit), False, ""
