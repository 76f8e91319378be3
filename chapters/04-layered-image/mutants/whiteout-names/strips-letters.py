def parse_whiteout(name: bytes) -> tuple[Meaning, bytes]:
    if not name.startswith(WHITEOUT_PREFIX):
        return Meaning.ITSELF, name
    if name == _OPAQUE:
        return Meaning.OPAQUE, b""
    if name.startswith(_BOOKKEEPING):
        return Meaning.NOTHING, b""
    if name in (b".wh.", b".wh..", b".wh..."):
        raise UnsafeEntry("the whiteout names no file")
    return Meaning.GONE, name.lstrip(b".wh.")
