def _swap_total(host: HostConfig) -> int:
    return host.memory + (host.memory_swap or host.memory)
