def read_directives(lines: Sequence[str]) -> tuple[Directives, int]:
    found: dict[str, str] = {}
    has_interpreter = bool(lines) and lines[0].startswith("#!")
    number = int(has_interpreter)
    for line in lines[has_interpreter:]:
        line = line.strip(SPACE)
        match = _DIRECTIVE.fullmatch(line[1:].lstrip(SPACE)) if line.startswith("#") else None
        name = match[1].lower() if match else ""
        if not match or name not in ("syntax", "escape", "check"):
            if line.startswith("#"):
                number += 1
                continue
            break
        number += 1
        span = Span(first=number, last=number)
        if name in found:
            raise locate(DockerfileError(f"only one {name} parser directive can be used", culprit=match[1]), span, lines)
        if name == "escape" and match[2] not in _CONTINUED:
            problem = f"invalid escape token '{match[2]}' does not match ` or \\"
            raise locate(DockerfileError(problem, culprit=match[2]), span, lines)
        found[name] = match[2] if name == "escape" else match[2].partition(" ")[0]
    if has_interpreter:
        found.pop("escape", None)
    return Directives(**found), number
