def parse_whiteout(name: bytes) -> tuple[Meaning, bytes]:
    if not name.startswith(WHITEOUT_PREFIX):
        return Meaning.ITSELF, name
    hidden = name.removeprefix(WHITEOUT_PREFIX)
    if hidden in (b"", b".", b".."):
        raise UnsafeEntry("the whiteout names no file")
    return Meaning.GONE, hidden
