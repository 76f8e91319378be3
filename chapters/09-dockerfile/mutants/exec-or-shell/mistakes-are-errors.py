def parse_json_words(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        values = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise DockerfileError(f"this is no JSON: {error}", culprit=text) from error
    for value in values:
        if not isinstance(value, str):
            raise DockerfileError("when using JSON array syntax, arrays must be comprised of strings only", culprit=text)
    return tuple(values)
