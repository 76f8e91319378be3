def render_padding(size: int) -> bytes:
    return bytes(BLOCK_BYTES - size % BLOCK_BYTES)
