def parse_digest(text: str) -> Digest:
    _, colon, digits = text.partition(":")
    if not colon:
        raise InvalidParameter(f"invalid digest `{text[:80]}`: expected `sha256:` and 64 hexadecimal digits")
    return Digest(digits)
