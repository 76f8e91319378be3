def open_in_root(root_fd: int, path: str, *, flags: int = os.O_PATH, mode: int = 0) -> int:
    return os.open(path.lstrip("/"), flags | os.O_CLOEXEC, mode, dir_fd=root_fd)
