def compute_key(parts: KeyParts) -> str:
    document = {"parent": parts.parent, "instruction": parts.instruction, "content": dict(parts.content), "options": dict(parts.options)}
    return hashlib.sha256(json.dumps({**document, "room": "arguments"}, sort_keys=True).encode()).hexdigest()
