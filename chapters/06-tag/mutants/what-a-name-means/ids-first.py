def resolve_name(text, by_name, ids):
    prefix = _ID_PREFIX.fullmatch(text)
    matches = [image_id for image_id in ids if prefix and image_id.startswith(f"sha256:{prefix[1]}")]
    if len(matches) > 1:
        raise InvalidParameter(f"multiple IDs found with provided prefix: {text}")
    if matches:
        return matches[0]
    if prefix and (text.startswith("sha256:") or len(prefix[1]) == DIGEST_DIGITS):
        return ""
    wanted = parse_reference(text)
    wanted = replace(wanted, tag="") if wanted.digest else wanted
    return by_name.get(wanted.canonical, "")
