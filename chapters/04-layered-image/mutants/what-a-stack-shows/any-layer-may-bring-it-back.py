def compute_shown(layers: Iterable[Iterable[tuple[str, bool]]]) -> dict[str, int]:
    shown: dict[str, int] = {}
    above: set[str] = set()
    for number, names in enumerate(layers):
        gone = {name for name, is_gone in names if is_gone}
        for name, is_gone in names:
            if not is_gone and name not in above and name not in shown:
                shown[name] = number
        above = gone
    return shown
