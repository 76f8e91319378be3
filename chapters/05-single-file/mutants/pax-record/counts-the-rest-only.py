def _render_record(key: bytes, value: bytes) -> bytes:
    return b"%d %s=%s\n" % (len(key) + len(value) + 3, key, value)
