def encode_frame(stream: int, payload: bytes) -> bytes:
    return struct.pack("<BxxxI", stream, len(payload)) + payload
