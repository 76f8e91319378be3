def compute_chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    if len(diff_ids) > MAX_LAYERS:
        raise InvalidParameter("max depth exceeded")
    names: list[str] = []
    for diff_id in diff_ids:
        below = f"{names[-1]} {diff_id}" if names else diff_id
        names.append(f"sha256:{hashlib.sha256(below.encode()).hexdigest()}")
    return tuple(names)
