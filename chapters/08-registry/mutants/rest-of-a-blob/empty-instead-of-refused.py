def parse_byte_range(header, size):
    match = _BYTES.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1]:
        return int(match[1]), min(int(match[2] or size), size - 1)
    return max(0, size - int(match[2])), size - 1
