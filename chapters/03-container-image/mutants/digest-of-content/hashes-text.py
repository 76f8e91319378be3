def compute_digest(content: bytes) -> Digest:
    return Digest(hashlib.sha256(content.strip()).hexdigest())
