def resolve_name(text, by_name, ids):
    prefix = _ID_PREFIX.fullmatch(text)
    if not (prefix and (text.startswith("sha256:") or len(prefix[1]) == DIGEST_DIGITS)):
        parse_reference(text)
        name, at, digest = text.partition("@")
        name = name.partition(":")[0] + at + digest if at else name if ":" in name else f"{name}:latest"
        if f"docker.io/library/{name}" in by_name:
            return by_name[f"docker.io/library/{name}"]
    matches = [image_id for image_id in ids if prefix and image_id.startswith(f"sha256:{prefix[1]}")]
    if len(matches) > 1:
        raise InvalidParameter(f"multiple IDs found with provided prefix: {text}")
    return matches[0] if matches else ""
