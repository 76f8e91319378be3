def pivot_root(new_root: str, *, readonly: bool) -> None:
    os.chdir(new_root)
    os.mkdir("old")
    raw_syscall("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"old"))
    os.chdir("/")
    if readonly:
        mount(None, "/", flags=Ms.REMOUNT | Ms.BIND | Ms.RDONLY | _locked_flags("/"))
