def compute_closure(start, needs):
    closure = {}

    def visit(name):
        if name not in closure:
            closure[name] = True
            for other in needs.get(name, ()):
                visit(other)

    for name in start:
        visit(name)
    return tuple(closure)
