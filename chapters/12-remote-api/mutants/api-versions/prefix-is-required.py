def split_version(path: str) -> tuple[tuple[int, int] | None, str]:
    match = _VERSION_PREFIX.match(path)
    if match is None:
        raise InvalidParameter(f"no version in `{path}`")
    return (int(match[1]), int(match[2])), path[match.end() :]
