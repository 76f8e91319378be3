def _clean(name: bytes) -> bytes:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise UnsafeEntry("the name climbs out of the archive's root with `..`")
    return b"/".join(parts)
