def compute_chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    for diff_id in diff_ids:
        names.append(f"sha256:{hashlib.sha256(f'{names[-1]} {diff_id}'.encode()).hexdigest()}" if names else diff_id)
    return tuple(names)
