def pivot_root(new_root: str, *, readonly: bool) -> None:
    os.chroot(new_root)
    os.chdir("/")
    if readonly:
        mount(None, "/", flags=Ms.REMOUNT | Ms.BIND | Ms.RDONLY | _locked_flags("/"))
