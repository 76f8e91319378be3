def choose_platform(index, wanted):
    return next((entry for entry in index.manifests if entry.platform == wanted), None)
