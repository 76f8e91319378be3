def _record_writer(kind: type) -> Writer:
    keys = _keys_of(kind)
    tag = {"Kind": kind.__name__} if getattr(kind, "TAGGED", False) else {}

    def write(record: Any) -> Json:
        document: dict[str, Json] = dict(tag)
        for name, key, _ in keys:
            value = getattr(record, name)
            if value:
                document[key] = render_record(value)
        return document

    return write
