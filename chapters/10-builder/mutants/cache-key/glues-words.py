def compute_key(parts: KeyParts) -> str:
    words = [parts.parent, parts.instruction]
    for mapping in (parts.arguments, parts.content, parts.options):
        words += [word for item in sorted(mapping.items()) for word in item]
    return hashlib.sha256("".join(words).encode()).hexdigest()
