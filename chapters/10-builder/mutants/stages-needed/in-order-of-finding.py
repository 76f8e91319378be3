def required_stages(nodes: Sequence[StageNode], target: int) -> tuple[int, ...]:
    found = [target]
    for index in found:
        found.extend(need for need in nodes[index].needs if need not in found)
    return tuple(found)
