def pivot_root(new_root: str, *, readonly: bool) -> None:
    os.chdir(new_root)
    outside = os.open("/", os.O_DIRECTORY | os.O_PATH | os.O_CLOEXEC)
    raw_syscall("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    os.fchdir(outside)
    os.close(outside)
    umount2(".", flags=Mnt.DETACH)
    if readonly:
        mount(None, "/", flags=Ms.REMOUNT | Ms.BIND | Ms.RDONLY | _locked_flags("/"))
