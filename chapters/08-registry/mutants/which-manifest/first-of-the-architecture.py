def choose_platform(index, wanted):
    for entry in index.manifests:
        if entry.platform and (entry.platform.os, entry.platform.architecture) == (wanted.os, wanted.architecture):
            return entry
    return None
