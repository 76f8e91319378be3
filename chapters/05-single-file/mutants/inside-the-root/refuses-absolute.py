def _clean(name: bytes) -> bytes:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if len(parts) > MAX_DEPTH:
        raise InvalidArchive(f"unpack `{name[:200].decode(errors='replace')}`: more than {MAX_DEPTH} levels of directories")
    if b".." in parts or name.startswith(b"/"):
        raise UnsafeEntry("the name climbs out of the archive's root with `..`")
    return b"/".join(parts)
