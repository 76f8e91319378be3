def compute_shown(layers: Iterable[Iterable[tuple[str, bool]]]) -> dict[str, int]:
    gone = {name for names in layers for name, is_gone in names if is_gone}
    shown: dict[str, int] = {}
    for number, names in enumerate(layers):
        for name, _ in names:
            if name not in gone:
                shown.setdefault(name, number)
    return shown
