def resolve_name(text, by_name, ids):
    prefix = _ID_PREFIX.fullmatch(text)
    if not (prefix and (text.startswith("sha256:") or len(prefix[1]) == DIGEST_DIGITS)):
        wanted = parse_reference(text)
        wanted = replace(wanted, digest="") if wanted.tag else wanted
        if wanted.canonical in by_name:
            return by_name[wanted.canonical]
    matches = [image_id for image_id in ids if prefix and image_id.startswith(f"sha256:{prefix[1]}")]
    if len(matches) > 1:
        raise InvalidParameter(f"multiple IDs found with provided prefix: {text}")
    return matches[0] if matches else ""
