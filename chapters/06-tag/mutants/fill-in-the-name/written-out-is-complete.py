def _split_domain(text):
    first, slash, rest = text.partition("/")
    if slash and (any(c in first for c in ".:") or first == "localhost" or first.lower() != first):
        return DEFAULT_DOMAIN if first == "index.docker.io" else first, rest
    return DEFAULT_DOMAIN, text if slash else OFFICIAL_PREFIX + text
