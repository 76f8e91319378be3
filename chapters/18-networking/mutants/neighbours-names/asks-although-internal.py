def plan_reply(query: Query, tables: Sequence[NameTable], *, links: Mapping[str, str], turn: int, can_forward: bool) -> Reply | None:
    if query.type == RecordType.PTR:
        address = parse_reverse_name(query.name)
        name = next((table.names[address] for table in tables if address in table.names), "")
        return Reply(answers=(Answer(value=name),)) if name else None
    name = links.get(query.name, query.name).lower()
    found = [address for table in tables for address in _find(table, name)]
    return Reply(answers=_answers(query, found, turn)) if found else None
