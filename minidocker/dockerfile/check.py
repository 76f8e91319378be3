"""`build --check`: look at a Dockerfile as a careful colleague would, without building it.

Each `_check_` function is one rule of `minidocker.dockerfile.rules`, or a few that look at the same thing. What the text alone does
not say comes in with `Surroundings`: build arguments, the ignore file, and what base images are like. Where a base image is not
known, nothing is said about variables, because it may set any.

Pure. Chapter 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from minidocker.dockerfile.expand import EXPANDED, expand, expand_word, expand_words
from minidocker.dockerfile.ignore import IgnoreRule, is_ignored
from minidocker.dockerfile.instructions import (
    Add, Arg, Cmd, Copy, Dockerfile, Entrypoint, Env, Expose, From, Healthcheck, Instruction, Label, Maintainer, Run, Shell, ShellForm,
    Workdir,
)  # fmt: skip
from minidocker.dockerfile.lexer import Statement, read_directives, read_statements
from minidocker.dockerfile.mistake import DockerfileError, find_close
from minidocker.dockerfile.platforms import parse_platform
from minidocker.dockerfile.rules import Finding, Rule, parse_check_options

__all__ = ["Surroundings", "check_dockerfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a check knows besides the text."""

    build_args: Mapping[str, str] = field(default_factory=dict)
    ignore_rules: tuple[IgnoreRule, ...] = ()
    base_environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Image → the variables that it sets; one that is missing here may set any."""
    base_platforms: Mapping[str, str] = field(default_factory=dict)
    """Image → the platform that it was made for, where that is known."""
    platform: str = "linux/amd64"


class _Stage:
    """What is known at one instruction of a stage."""

    def __init__(self, environment: Mapping[str, str] | None, parent: _Stage | None) -> None:
        self.environment = dict(environment) if environment is not None else None
        """None if the base image is not known."""
        self.declared: set[str] = set(parent.declared) if parent else set()
        self.has_workdir: bool = parent is not None and parent.has_workdir
        self.has_shell: bool = parent is not None and parent.has_shell
        self.last: dict[type, Statement] = {}


def check_dockerfile(dockerfile: Dockerfile, around: Surroundings = Surroundings()) -> tuple[Finding, ...]:
    """Return where *dockerfile* breaks a rule that it did not switch off, in the order of its lines.

    Raises:
        DockerfileError: its `check` directive means nothing.
    """
    options = parse_check_options(dockerfile.directives.check)
    directives, start = read_directives(dockerfile.lines)
    statements = list(read_statements(dockerfile.lines, directives.escape, start=start))
    parsed: list[Instruction | From] = [*dockerfile.arguments]
    for stage in dockerfile.stages:
        parsed += [stage.base, *stage.instructions]
    pairs = list(zip(statements, parsed, strict=True))
    findings = [*_check_text(pairs), *_check_casing(pairs), *_check_stage_names(pairs), *_check_default_bases(dockerfile, around)]
    findings += _check_stages(dockerfile, pairs[len(dockerfile.arguments) :], around)
    by_line = {statement.span.first: options.merge(statement.comments) for statement in statements}
    by_line |= {statement.gap: options for statement in statements if statement.gap}
    kept = (one for one in findings if by_line.get(one.span.first, options).allows(one.rule))
    return tuple(sorted(dict.fromkeys(kept), key=lambda one: one.span.first))


def _check_text(pairs: Sequence[tuple[Statement, Instruction | From]]) -> Iterator[Finding]:
    """Rules that one instruction's text decides."""
    for statement, instruction in pairs:
        name, span, words = statement.name, statement.span, statement.arguments.words
        if statement.gap:
            yield Finding(rule=Rule.NO_EMPTY_CONTINUATION, detail="Empty continuation line", span=type(span)(first=statement.gap, last=statement.gap))
        if isinstance(instruction, Maintainer):
            yield Finding(rule=Rule.MAINTAINER_DEPRECATED, detail="Maintainer instruction is deprecated in favor of using label", span=span)
        if isinstance(instruction, From) and len(words) == 3:
            if words[2] != words[2].lower():
                yield Finding(rule=Rule.STAGE_NAME_CASING, detail=f"Stage name '{words[2]}' should be lowercase", span=span)
            if (name.islower() and not words[1].islower()) or (name.isupper() and not words[1].isupper()):
                yield Finding(rule=Rule.FROM_AS_CASING, detail=f"'{words[1]}' and '{name}' keywords' casing do not match", span=span)
        if isinstance(instruction, Env | Label) and statement.arguments.is_legacy:
            detail = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
            yield Finding(rule=Rule.LEGACY_KEY_VALUE_FORMAT, detail=detail, span=span)
        named = (instruction.name,) if isinstance(instruction, From) else tuple(pair.name for pair in instruction.pairs) if isinstance(instruction, Arg) else ()
        if statement.comments and any(named) and statement.comments[-1].partition(" ")[0] not in named:
            kind, example = ("FROM" if isinstance(instruction, From) else "ARG"), named[0] if len(named) == 1 else "<arg_key>"
            detail = f"Comment for {kind} should follow the format: `# {example} <description>`"
            yield Finding(rule=Rule.INVALID_DEFINITION_DESCRIPTION, detail=detail, span=span)


def _check_casing(pairs: Sequence[tuple[Statement, Instruction | From]]) -> Iterator[Finding]:
    """Names of instructions are written alike; ARG before the first FROM does not count."""
    first = next(index for index, (_, instruction) in enumerate(pairs) if isinstance(instruction, From))
    statements = [statement for statement, _ in pairs[first:]]
    lower = sum(statement.name.islower() for statement in statements) > sum(statement.name.isupper() for statement in statements)
    for statement in statements:
        if not (statement.name.islower() if lower else statement.name.isupper()):
            detail = f"Command '{statement.name}' should match the case of the command majority ({'lowercase' if lower else 'uppercase'})"
            yield Finding(rule=Rule.CONSISTENT_INSTRUCTION_CASING, detail=detail, span=statement.span)


def _check_stage_names(pairs: Iterable[tuple[Statement, Instruction | From]]) -> Iterator[Finding]:
    seen: set[str] = set()
    for statement, instruction in pairs:
        if isinstance(instruction, From) and instruction.name:
            if instruction.name in ("context", "scratch"):
                detail = f'Stage name should not use the same name as reserved stage "{instruction.name}"'
                yield Finding(rule=Rule.RESERVED_STAGE_NAME, detail=detail, span=statement.span)
            if instruction.name in seen:
                detail = f'Duplicate stage name "{instruction.name}", stage names should be unique'
                yield Finding(rule=Rule.DUPLICATE_STAGE_NAME, detail=detail, span=statement.span)
            seen.add(instruction.name)


def _global_arguments(dockerfile: Dockerfile, around: Surroundings, build_args: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Return the variables of FROM lines, and the names that are declared without a value, too."""
    os_name, _, rest = around.platform.partition("/")
    architecture, _, variant = rest.partition("/")
    values: dict[str, str] = {}
    for side in ("BUILD", "TARGET"):
        parts = {"PLATFORM": around.platform, "OS": os_name, "OSVERSION": "", "ARCH": architecture, "VARIANT": variant}
        values |= {f"{side}{name}": value for name, value in parts.items()}
    values["TARGETSTAGE"] = "default"
    values |= {name: value for name, value in build_args.items() if name in values}
    declared: set[str] = set()
    for argument in dockerfile.arguments:
        for pair in argument.pairs:
            declared.add(pair.name)
            value = build_args.get(pair.name)
            if value is None and pair.value is not None:
                value = expand_word(pair.value, values, dockerfile.directives.escape)
            if value is not None:
                values[pair.name] = value
    return values, declared | set(values)


_IMAGE_NAME: Final = re.compile(
    r"(?:[A-Za-z0-9.\-]+(?::[0-9]+)?/)?[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
    r"(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


def _check_default_bases(dockerfile: Dockerfile, around: Surroundings) -> Iterator[Finding]:
    """FROM names an image even if nobody gives a build argument."""
    values, _ = _global_arguments(dockerfile, around, {})
    for stage in dockerfile.stages:
        try:
            image = expand_word(stage.base.image, values, dockerfile.directives.escape)
        except DockerfileError:
            return
        if not _IMAGE_NAME.fullmatch(image):
            detail = f"Default value for ARG {stage.base.image} results in empty or invalid base image name"
            yield Finding(rule=Rule.INVALID_DEFAULT_ARG_IN_FROM, detail=detail, span=stage.base.span)


def _check_stages(dockerfile: Dockerfile, pairs: Sequence[tuple[Statement, Instruction | From]], around: Surroundings) -> Iterator[Finding]:
    """Rules that depend on what came before in a stage, or in the one that it continues."""
    globals_, declared = _global_arguments(dockerfile, around, around.build_args)
    escape = dockerfile.directives.escape
    stages: dict[str, _Stage] = {}
    stage = _Stage({}, None)
    number = -1
    for statement, instruction in pairs:
        try:
            if isinstance(instruction, From):
                number += 1
                yield from _check_from(instruction, globals_, declared, escape)
                yield from _check_base_platform(instruction, globals_, around, escape)
                stage = _begin_stage(expand_word(instruction.image, globals_, escape), stages, around)
                stages |= {str(number): stage, **({instruction.name: stage} if instruction.name else {})}
            else:
                yield from _check_variables(instruction, statement, stage, around, escape)
                yield from _check_in_stage(instruction, statement, stage, around, escape)
                _follow(instruction, stage, around, globals_, escape)
        except DockerfileError:
            stage.environment = None  # the build says so, in its own words; what follows cannot be judged


def _begin_stage(image: str, stages: Mapping[str, _Stage], around: Surroundings) -> _Stage:
    parent = stages.get(image.lower()) if not image.isdecimal() else None
    if parent is not None:
        return _Stage(parent.environment, parent)
    known = {} if image == "scratch" else around.base_environments.get(image)
    return _Stage({"PATH": "", **known} if known is not None else None, None)


def _check_from(base: From, values: Mapping[str, str], declared: set[str], escape: str) -> Iterator[Finding]:
    for text in (base.image, base.platform):
        for name in sorted(expand(text, values, escape).unset - declared):
            close = find_close({key: key for key in sorted(declared)}, name)
            detail = f"FROM argument '{name}' is not declared" + (f" (did you mean {close}?)" if close else "")
            yield Finding(rule=Rule.UNDEFINED_ARG_IN_FROM, detail=detail, span=base.span)
    if not base.platform:
        return
    found = expand(base.platform, values, escape)
    if found.used == {"TARGETPLATFORM"} and not found.unset and found.text == values["TARGETPLATFORM"]:
        detail = f"Setting platform to predefined {base.platform} in FROM is redundant as this is the default behavior"
        yield Finding(rule=Rule.REDUNDANT_TARGET_PLATFORM, detail=detail, span=base.span)
    platform = parse_platform(found.text)
    if not found.used and not found.unset and platform and not any(part in base.name for part in platform[:2]):
        detail = f'FROM --platform flag should not use constant value "{found.text}"'
        yield Finding(rule=Rule.FROM_PLATFORM_FLAG_CONST_DISALLOWED, detail=detail, span=base.span)


def _check_base_platform(base: From, values: Mapping[str, str], around: Surroundings, escape: str) -> Iterator[Finding]:
    image = expand_word(base.image, values, escape)
    expected = expand_word(base.platform, values, escape) or around.platform
    actual = around.base_platforms.get(image, expected)
    if parse_platform(actual) != parse_platform(expected):
        detail = f'Base image {image} was pulled with platform "{actual}", expected "{expected}" for current build'
        yield Finding(rule=Rule.INVALID_BASE_IMAGE_PLATFORM, detail=detail, span=base.span)


def _words_of(instruction: Instruction, around: Surroundings) -> Iterator[str]:
    """Yield every word in which the builder would replace variables."""
    for name in EXPANDED.get(type(instruction), ()):
        value = getattr(instruction, name)
        for one in (value,) if isinstance(value, str) else value:
            yield from (one,) if isinstance(one, str) else (one.name, one.value)
    if isinstance(instruction, Run):
        yield from instruction.mounts
    if isinstance(instruction, Arg):
        yield from (pair.value for pair in instruction.pairs if pair.value is not None and pair.name not in around.build_args)


def _check_variables(
    instruction: Instruction, statement: Statement, stage: _Stage, around: Surroundings, escape: str
) -> Iterator[Finding]:
    if stage.environment is None:
        return
    unset: set[str] = set()
    for word in _words_of(instruction, around):
        unset |= expand(word, stage.environment, escape).unset
    if isinstance(instruction, Add | Copy):
        for heredoc in instruction.heredocs:
            unset |= expand(heredoc.body, stage.environment, quotes=False).unset if heredoc.expand else frozenset()
    for name in sorted(unset - stage.declared):
        close = find_close({key: key for key in stage.environment}, name)
        detail = f"Usage of undefined variable '${name}'" + (f" (did you mean ${close}?)" if close else "")
        yield Finding(rule=Rule.UNDEFINED_VAR, detail=detail, span=statement.span)


_SECRET: Final = re.compile(r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE)
_NO_SECRET: Final = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)


def _check_in_stage(instruction: Instruction, statement: Statement, stage: _Stage, around: Surroundings, escape: str) -> Iterator[Finding]:
    span, environment = statement.span, stage.environment or {}
    match instruction:
        case Cmd() | Entrypoint() | Healthcheck():
            if type(instruction) in stage.last:
                detail = f"Multiple {statement.name} instructions should not be used in the same stage because only the last one will be used"
                yield Finding(rule=Rule.MULTIPLE_INSTRUCTIONS_DISALLOWED, detail=detail, span=stage.last[type(instruction)].span)
            if not isinstance(instruction, Healthcheck) and isinstance(instruction.command, ShellForm) and not stage.has_shell:
                detail = f"JSON arguments recommended for {statement.name} to prevent unintended behavior related to OS signals"
                yield Finding(rule=Rule.JSON_ARGS_RECOMMENDED, detail=detail, span=span)
            stage.last[type(instruction)] = statement
        case Workdir():
            path = expand_word(instruction.path, environment, escape)
            if not stage.has_workdir and not path.startswith("/"):
                detail = f'Relative workdir "{path}" can have unexpected results if the base image changes'
                yield Finding(rule=Rule.WORKDIR_RELATIVE_PATH, detail=detail, span=span)
        case Arg() | Env():
            kind = "ARG" if isinstance(instruction, Arg) else "ENV"
            for pair in instruction.pairs:
                if _SECRET.search(pair.name) and not _NO_SECRET.search(pair.name):
                    detail = f'Do not use ARG or ENV instructions for sensitive data ({kind} "{pair.name}")'
                    yield Finding(rule=Rule.SECRETS_USED_IN_ARG_OR_ENV, detail=detail, span=span)
        case Expose():
            for port in (word for text in sorted(instruction.ports) for word in expand_words(text, environment, escape)):
                protocol = port.rpartition(":")[2].partition("/")[2]
                if protocol != protocol.lower():
                    detail = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                    yield Finding(rule=Rule.EXPOSE_PROTO_CASING, detail=detail, span=span)
                if port.rpartition(":")[0].strip(":"):
                    detail = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                    yield Finding(rule=Rule.EXPOSE_INVALID_FORMAT, detail=detail, span=span)
        case Add() | Copy():
            yield from _check_sources(instruction, statement, environment, around, escape)


def _check_sources(
    instruction: Add | Copy, statement: Statement, environment: Mapping[str, str], around: Surroundings, escape: str
) -> Iterator[Finding]:
    """Sources that the ignore file keeps from the builder; where it has exceptions, that cannot be told from here."""
    rules = around.ignore_rules
    if not rules or any(rule.is_exception for rule in rules) or (isinstance(instruction, Copy) and instruction.from_):
        return
    verb = type(instruction).__name__
    for written in instruction.sources:
        source = "/".join(part for part in expand_word(written, environment, escape).split("/") if part not in ("", "."))
        if isinstance(instruction, Add) and re.match(r"https?://|git(@|://)", written):
            continue
        everything = any(rule.pattern in ("*", "**", "**/*") for rule in rules)
        if is_ignored(rules, source) if source else everything:
            detail = f'Attempting to {verb} file "{source or "."}" that is excluded by .dockerignore'
            yield Finding(rule=Rule.COPY_IGNORED_FILE, detail=detail, span=statement.span)


def _follow(instruction: Instruction, stage: _Stage, around: Surroundings, globals_: Mapping[str, str], escape: str) -> None:
    """Note what *instruction* changes for those after it."""
    match instruction:
        case Workdir():
            stage.has_workdir = True
        case Shell():
            stage.has_shell = True
        case Env():
            before = dict(stage.environment or {})
            for pair in instruction.pairs:
                if stage.environment is not None:
                    stage.environment[expand_word(pair.name, before, escape)] = expand_word(pair.value or "", before, escape)
        case Arg():
            for pair in instruction.pairs:
                stage.declared.add(pair.name)
                value = around.build_args.get(pair.name)
                if value is None and pair.value is not None:
                    value = expand_word(pair.value, stage.environment or {}, escape)
                value = globals_.get(pair.name) if value is None else value
                if value is not None and stage.environment is not None:
                    stage.environment[pair.name] = value
