def render_whiteout(path: str) -> str:
    return f".wh.{path}"
