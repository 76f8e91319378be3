def _record_writer(kind: type) -> Writer:
    keys = _keys_of(kind)

    def write(record: Any) -> Json:
        document: dict[str, Json] = {}
        for name, key, omit_empty in keys:
            value = getattr(record, name)
            if value or not omit_empty:
                document[key] = render_record(value)
        return document

    return write
