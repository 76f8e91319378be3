def plan_reply(query: Query, tables: Sequence[NameTable], *, links: Mapping[str, str], turn: int, can_forward: bool) -> Reply | None:
    table = tables[0]
    if query.type == RecordType.PTR:
        address = parse_reverse_name(query.name)
        if address in table.names:
            return Reply(answers=(Answer(value=table.names[address]),))
    else:
        found = _find(table, links.get(query.name, query.name).lower())
        if found:
            return Reply(answers=_answers(query, found, turn))
    if can_forward:
        return None
    return Reply(rcode=Rcode.NXDOMAIN if "." not in query.name or query.type == RecordType.PTR else Rcode.SERVFAIL)
