def compute_closure(start, needs):
    closure = [name for name in dict.fromkeys(start) if name in needs]
    for name in closure:
        closure.extend(dict.fromkeys(other for other in needs[name] if other in needs and other not in closure))
    return tuple(closure)
