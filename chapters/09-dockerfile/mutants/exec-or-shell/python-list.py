def parse_json_words(text: str) -> tuple[str, ...] | None:
    import ast

    if not text.startswith("["):
        return None
    try:
        values = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    for value in values:
        if not isinstance(value, str):
            raise DockerfileError("when using JSON array syntax, arrays must be comprised of strings only", culprit=text)
    return tuple(values)
