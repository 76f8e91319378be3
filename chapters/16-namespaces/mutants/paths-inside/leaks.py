def open_in_root(root_fd: int, path: str, *, flags: int = os.O_PATH, mode: int = 0) -> int:
    how = _OpenHow(flags=flags, mode=mode, resolve=int(Resolve.IN_ROOT | Resolve.NO_MAGICLINKS))
    return raw_syscall("openat2", root_fd, ctypes.c_char_p(os.fsencode(path)), ctypes.byref(how), ctypes.sizeof(how), path=path)
