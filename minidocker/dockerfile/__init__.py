"""The language of Dockerfiles: text becomes values, and nothing is done yet.

Rule: pure, and every mistake has a place (`DockerfileError`: line, column, caret, suggestion). The order to read them in:

- `text`: what is blank, where something stands
- `instructions`: a file, its stages, the 18 instructions with their flags
- `mistake`: errors that point at their cause
- `lexer`: lines become statements: directives, comments, continuations, heredocs
- `words`, `flags`: a statement's arguments, as JSON, words or a line, and its flags
- `parser`: statements become instructions and stages
- `expand`, `mounts`: quotes and variables, at the time when the builder comes to an instruction
- `render`: back to text
- `ignore`: `.dockerignore`, which files the builder gets
- `rules`, `platforms`, `check`, `report`: what `build --check` finds and how it says so

Chapter 9.
"""
