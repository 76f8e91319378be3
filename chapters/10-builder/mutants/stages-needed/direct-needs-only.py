def required_stages(nodes: Sequence[StageNode], target: int) -> tuple[int, ...]:
    return tuple(sorted({target, *nodes[target].needs}))
