def require_supported(version: tuple[int, int]) -> None:
    text = f"{version[0]}.{version[1]}"
    if text > API_VERSION:
        raise InvalidParameter(f"client version {text} is too new. Maximum supported API version is {API_VERSION}")
    if text < MIN_API_VERSION:
        raise InvalidParameter(f"client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}")
