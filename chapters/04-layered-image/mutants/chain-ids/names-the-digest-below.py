def compute_chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    if len(diff_ids) > MAX_LAYERS:
        raise InvalidParameter("max depth exceeded")
    names = list(diff_ids[:1])
    for below, diff_id in zip(diff_ids, diff_ids[1:]):
        names.append(f"sha256:{hashlib.sha256(f'{below} {diff_id}'.encode()).hexdigest()}")
    return tuple(names)
