def _render_record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    return b"%d %s=%s\n" % (rest + len(str(rest)), key, value)
