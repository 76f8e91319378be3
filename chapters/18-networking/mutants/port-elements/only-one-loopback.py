def _place_forward(forward: Forward) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    host, target = forward.host_ip, (forward.container_ip, str(forward.container_port))
    key, version6 = (forward.protocol, str(forward.host_port)), ":" in host
    if host == "127.0.0.1":
        return "loopback-ports", (host, *key), ()
    if host == "::1" or version6 != (":" in forward.container_ip):
        return "", (), ()
    suffix = "6" if version6 else ""
    return (f"ports{suffix}", key, target) if host in ANY_ADDRESSES else (f"address-ports{suffix}", (host, *key), target)
