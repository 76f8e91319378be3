def parse_digest(text: str) -> Digest:
    algorithm, colon, digits = text.partition(":")
    if not colon or algorithm != "sha256":
        raise InvalidParameter(f"invalid digest `{text[:80]}`: expected `sha256:` and 64 hexadecimal digits")
    return Digest(digits.lower())
