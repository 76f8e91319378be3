def choose_platform(index, wanted):
    fitting = [
        entry for entry in index.manifests
        if entry.platform and (entry.platform.os, entry.platform.architecture) == (wanted.os, wanted.architecture)
    ]
    if wanted.variant:
        older = [entry for entry in fitting if entry.platform.variant <= wanted.variant]
        fitting = sorted(older, key=lambda entry: entry.platform.variant, reverse=True)
    return (fitting or list(index.manifests))[0]
