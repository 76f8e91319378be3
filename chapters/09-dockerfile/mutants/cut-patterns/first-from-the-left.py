def _trim(value: str, pattern: str, *, end: bool, greedy: bool) -> str:
    compiled = _compile_pattern(pattern, greedy=greedy)
    if not end:
        match = compiled.match(value)
        return value[match.end() :] if match else value
    found = re.search(compiled.pattern + r"\Z", value)
    return value[: found.start()] if found else value
