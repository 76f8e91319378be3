def _clean(name: bytes) -> bytes:
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise UnsafeEntry("the name climbs out of the archive's root with `..`")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    if len(parts) > MAX_DEPTH:
        raise InvalidArchive(f"unpack `{name[:200].decode(errors='replace')}`: more than {MAX_DEPTH} levels of directories")
    return b"/".join(parts)
