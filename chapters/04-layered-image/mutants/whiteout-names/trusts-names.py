def parse_whiteout(name: bytes) -> tuple[Meaning, bytes]:
    if name == _OPAQUE:
        return Meaning.OPAQUE, b""
    if name.startswith(_BOOKKEEPING):
        return Meaning.NOTHING, b""
    if name.startswith(WHITEOUT_PREFIX):
        return Meaning.GONE, name.removeprefix(WHITEOUT_PREFIX)
    return Meaning.ITSELF, name
