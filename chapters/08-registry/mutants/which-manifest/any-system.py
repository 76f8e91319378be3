def choose_platform(index, wanted):
    fitting = [entry for entry in index.manifests if entry.platform and entry.platform.architecture == wanted.architecture]
    if not wanted.variant:
        return fitting[0] if fitting else None
    older = [entry for entry in fitting if entry.platform.variant <= wanted.variant]
    return max(older, key=lambda entry: entry.platform.variant, default=None)
