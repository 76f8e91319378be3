def required_stages(nodes: Sequence[StageNode], target: int) -> tuple[int, ...]:
    return tuple(range(target + 1))
