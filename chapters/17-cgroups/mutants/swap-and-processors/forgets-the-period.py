def _cpu_quota(host: HostConfig) -> tuple[int, int]:
    if host.nano_cpus:
        return host.nano_cpus * CPU_PERIOD_US // 1_000_000_000, CPU_PERIOD_US
    return host.cpu_quota, host.cpu_period
