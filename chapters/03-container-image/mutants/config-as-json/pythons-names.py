def _record_writer(kind: type) -> Writer:
    keys = _keys_of(kind)
    tag = {"Kind": kind.__name__} if getattr(kind, "TAGGED", False) else {}

    def write(record: Any) -> Json:
        document: dict[str, Json] = dict(tag)
        for name, _, omit_empty in keys:
            value = getattr(record, name)
            if value or not omit_empty:
                document[name] = render_record(value)
        return document

    return write
