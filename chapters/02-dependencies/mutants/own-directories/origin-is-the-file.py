def compute_own_directories(elf, path):
    origin = "/" + path.lstrip("/")
    words = (word.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for word in elf.runpath or elf.rpath)
    return tuple(os.path.normpath(word).lstrip("/") for word in words)
