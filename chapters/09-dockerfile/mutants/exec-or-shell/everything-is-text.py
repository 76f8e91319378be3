def parse_json_words(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        values = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return tuple(value if isinstance(value, str) else str(value) for value in values)
