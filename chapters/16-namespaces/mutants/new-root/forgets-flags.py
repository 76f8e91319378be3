def pivot_root(new_root: str, *, readonly: bool) -> None:
    os.chdir(new_root)
    _pivot_to_cwd()
    if readonly:
        mount(None, "/", flags=Ms.REMOUNT | Ms.BIND | Ms.RDONLY)
