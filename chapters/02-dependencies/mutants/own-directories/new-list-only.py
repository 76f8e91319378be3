def compute_own_directories(elf, path):
    origin = "/" + str(PurePosixPath(path.lstrip("/")).parent)
    words = (word.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for word in elf.runpath)
    return tuple(os.path.normpath(word).lstrip("/") for word in words)
