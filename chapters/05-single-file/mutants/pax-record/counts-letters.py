def _render_record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value.decode(errors="ignore")) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)
