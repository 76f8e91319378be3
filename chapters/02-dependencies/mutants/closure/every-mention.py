def compute_closure(start, needs):
    closure, expanded = list(start), set()
    for name in closure:
        if name not in expanded:
            expanded.add(name)
            closure.extend(needs.get(name, ()))
    return tuple(closure)
