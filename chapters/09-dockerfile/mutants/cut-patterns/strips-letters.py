def _trim(value: str, pattern: str, *, end: bool, greedy: bool) -> str:
    letters = pattern.replace("*", "")
    return value.rstrip(letters) if end else value.lstrip(letters)
