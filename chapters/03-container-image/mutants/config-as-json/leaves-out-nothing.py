def _record_writer(kind: type) -> Writer:
    keys = _keys_of(kind)
    tag = {"Kind": kind.__name__} if getattr(kind, "TAGGED", False) else {}

    def write(record: Any) -> Json:
        return tag | {key: render_record(getattr(record, name)) for name, key, _ in keys}

    return write
