def plan_reply(query: Query, tables: Sequence[NameTable], *, links: Mapping[str, str], turn: int, can_forward: bool) -> Reply | None:
    if query.type == RecordType.PTR:
        address = parse_reverse_name(query.name)
        name = next((table.names[address] for table in tables if address in table.names), "")
        if name:
            return Reply(answers=(Answer(value=name),))
    else:
        name = links.get(query.name, query.name).lower()
        answers = _answers(query, [address for table in tables for address in _find(table, name)], turn)
        if answers:
            return Reply(answers=answers)
    if can_forward:
        return None
    return Reply(rcode=Rcode.NXDOMAIN if "." not in query.name or query.type == RecordType.PTR else Rcode.SERVFAIL)
