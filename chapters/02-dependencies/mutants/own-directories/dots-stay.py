def compute_own_directories(elf, path):
    origin = "/" + str(PurePosixPath(path.lstrip("/")).parent)
    words = (word.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for word in elf.runpath or elf.rpath)
    return tuple(word.lstrip("/") for word in words)
