class FrameDecoder:
    def feed(self, data: bytes) -> list[Frame]:
        if len(data) < HEADER_BYTES:
            return []
        stream, length = _parse_header(bytearray(data), 0)
        return [Frame(stream, data[HEADER_BYTES : HEADER_BYTES + length])]
