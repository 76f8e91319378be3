def choose_address(subnet: str, in_use: Collection[str], *, ip_range: str = "", name: str = "") -> str:
    whole = ipaddress.ip_network(subnet)
    pool = ipaddress.ip_network(ip_range, strict=False) if ip_range else whole
    used = [n for text in in_use if text and (n := int(ipaddress.ip_address(text))) in range(int(pool.network_address), int(pool.broadcast_address) + 1)]
    number = max(used, default=int(pool.network_address) - 1) + 1
    while number <= int(pool.broadcast_address) and not _is_usable(whole, number):
        number += 1
    if number > int(pool.broadcast_address):
        where = f"network's address pools: {name}" if name else f"subnet `{subnet}`"
        raise HostError(f"no available IPv{whole.version} addresses on this {where}")
    return str(type(whole.network_address)(number))
