def compute_shown(layers: Iterable[Iterable[tuple[str, bool]]]) -> dict[str, int]:
    shown: dict[str, int] = {}
    for number, names in enumerate(layers):
        for name, is_gone in names:
            if is_gone:
                shown.pop(name, None)
            else:
                shown[name] = number
    return shown
