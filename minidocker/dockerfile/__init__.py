"""The language of Dockerfiles: text becomes values, and nothing is done yet.

Rule: pure, and every mistake has a place (`DockerfileError`: line, column, caret, suggestion). The order to read them in:

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

from minidocker.dockerfile.check import Surroundings, check_dockerfile
from minidocker.dockerfile.expand import expand_instruction, expand_word, expand_words
from minidocker.dockerfile.ignore import IgnoreRule, Verdict, decide, is_ignored, keep_build_files, parse_ignore_file
from minidocker.dockerfile.instructions import Dockerfile, Instruction, Stage
from minidocker.dockerfile.mistake import DockerfileError, locate
from minidocker.dockerfile.mounts import parse_mounts
from minidocker.dockerfile.parser import parse_dockerfile, parse_instruction
from minidocker.dockerfile.render import render_dockerfile

__all__ = [
    "Dockerfile", "DockerfileError", "IgnoreRule", "Instruction", "Stage", "Surroundings", "Verdict",
    "check_dockerfile", "decide", "expand_instruction", "expand_word",
    "expand_words", "is_ignored", "keep_build_files", "locate", "parse_dockerfile", "parse_ignore_file", "parse_instruction",
    "parse_mounts", "render_dockerfile",
]  # fmt: skip
