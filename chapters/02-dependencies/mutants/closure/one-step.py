def compute_closure(start, needs):
    return tuple(dict.fromkeys([*start, *(other for name in start for other in needs.get(name, ()))]))
