def parse_byte_range(header, size):
    match = _BYTES.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1]:
        first, last = int(match[1]), int(match[2] or size - 1)
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first > last or first >= size:
        raise RegistryError("RANGE_INVALID", "range is outside")
    return first, last
