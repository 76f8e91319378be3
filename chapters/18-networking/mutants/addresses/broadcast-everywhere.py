def choose_address(subnet: str, in_use: Collection[str], *, ip_range: str = "", name: str = "") -> str:
    whole = ipaddress.ip_network(subnet)
    pool = ipaddress.ip_network(ip_range, strict=False) if ip_range else whole
    used = {int(ipaddress.ip_address(text)) for text in in_use if text}
    used |= {int(whole.network_address), int(whole.broadcast_address)}
    number = next((n for n in _numbers(int(pool.network_address), int(pool.broadcast_address)) if n not in used), None)
    if number is None:
        where = f"network's address pools: {name}" if name else f"subnet `{subnet}`"
        raise HostError(f"no available IPv{whole.version} addresses on this {where}")
    return str(type(whole.network_address)(number))
