def parse_byte_range(header, size):
    match = _BYTES.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    first, last = int(match[1] or 0), min(int(match[2] or size), size - 1)
    if first > last or (not match[1] and not last):
        raise RegistryError("RANGE_INVALID", "range is outside")
    return first, last
