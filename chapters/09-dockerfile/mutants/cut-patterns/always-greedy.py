def _trim(value: str, pattern: str, *, end: bool, greedy: bool) -> str:
    compiled = _compile_pattern(pattern, greedy=True)
    if not end:
        match = compiled.match(value)
        return value[match.end() :] if match else value
    found = next((start for start in range(len(value) + 1) if compiled.fullmatch(value, start)), None)
    return value if found is None else value[:found]
