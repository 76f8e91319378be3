def parse_digest(text: str) -> Digest:
    return Digest(text.removeprefix("sha256:"))
