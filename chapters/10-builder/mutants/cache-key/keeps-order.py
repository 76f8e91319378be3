def compute_key(parts: KeyParts) -> str:
    document = [parts.parent, parts.instruction, list(parts.arguments.items()), list(parts.content.items()), list(parts.options.items())]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()
