"""What instructions do: to the configuration of the image, to the variables in effect, and what is left for somebody to do.

Pure. `apply_instruction` takes the state before an instruction and gives the state after it; of the 17 instructions 13 are
done with that. RUN, COPY, ADD and WORKDIR also leave an *operation*: a record of what has to happen to the files.

Variables. ENV and ARG share one scope, and the later line wins, as in BuildKit. (The reference says that ENV always wins; it
has not been true for years, see moby/buildkit #915.) What ENV sets goes into the image, what ARG sets is gone with the build,
but every RUN after it has it in its environment. `ARG X` without a value anywhere changes nothing. See the Dockerfile
reference. Chapter 10.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from minidocker.build.history import render_history
from minidocker.build.request import PROXY_ARGUMENTS
from minidocker.dockerfile.expand import expand_instruction, expand_word
from minidocker.dockerfile.instructions import (
    Add, Arg, Cmd, Command, Copy, Entrypoint, Env, ExecForm, Expose, Healthcheck, Instruction, Label, Maintainer, Mount, OnBuild, Run,
    Shell, ShellForm, StopSignal, User, Volume, Workdir,
)  # fmt: skip
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.mounts import parse_mounts
from minidocker.spec.container import ContainerConfig

__all__ = ["CopyFiles", "MakeDirectory", "Operation", "RunCommand", "StageState", "Step", "apply_instruction", "begin_stage"]

DEFAULT_SHELL: Final = ("/bin/sh", "-c")
DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PORT: Final = re.compile(r"(\d+)(?:-(\d+))?(?:/([a-zA-Z]+))?")
_LONE_HEREDOC: Final = re.compile(r"\s*\d*<<-?\s*(['\"]?)[^\s'\"<>]+\1\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """What is true between two instructions of a stage."""

    config: ContainerConfig = field(default_factory=ContainerConfig)
    scope: Mapping[str, str] = field(default_factory=dict)
    """Every variable in effect."""
    arguments: frozenset[str] = frozenset()
    """Those of them that ARG set last."""
    declared: tuple[str, ...] = ()
    """Every name that an ARG of this stage mentions, in their order."""
    author: str = ""
    has_own_command: bool = False
    """Whether CMD was in this stage: ENTRYPOINT then leaves it."""
    escape: str = "\\"

    @property
    def directory(self) -> str:
        """Where relative paths begin."""
        return self.config.working_dir or "/"

    @property
    def shell(self) -> tuple[str, ...]:
        """What runs the shell form."""
        return self.config.shell or DEFAULT_SHELL


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """RUN: a process in a container."""

    argv: tuple[str, ...]
    env: tuple[str, ...]
    directory: str
    user: str
    network: str
    security: str
    mounts: tuple[Mount, ...]
    """With absolute targets."""
    script: str = ""
    """A heredoc with a `#!` line: the program itself, at `argv[0]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFiles:
    """COPY and ADD."""

    instruction: Copy | Add
    destination: str
    """Absolute; with a `/` at its end where it must be a directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectory:
    """WORKDIR: a directory that is to be there."""

    path: str


Operation = RunCommand | CopyFiles | MakeDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one instruction comes to."""

    state: StageState
    """After it."""
    text: str
    """What it says, in one line: the key has it."""
    operation: Operation | None = None
    history: str = ""
    """How the history of the image names it; empty if it does not."""

    @property
    def said(self) -> str:
        """What the key has of it: its text, for RUN without the values of arguments, which are a part of their own."""
        run = self.operation
        if not isinstance(run, RunCommand):
            return self.text
        return " ".join(("RUN", json.dumps(run.argv), *map(str, run.mounts), run.network, run.security, run.script)).rstrip()


def begin_stage(config: ContainerConfig, *, arguments: Mapping[str, str] | None = None, escape: str = "\\", author: str = "") -> StageState:
    """Return the state right after FROM; *arguments* are those of the stage that this one continues."""
    env = config.env if any(word.startswith("PATH=") for word in config.env) else (DEFAULT_PATH, *config.env)
    scope = dict(word.partition("=")[::2] for word in env)
    inherited = dict(arguments or {})
    config = replace(config, env=env, on_build=(), image="", hostname="", domainname="")
    return StageState(
        config=config, scope={**scope, **inherited}, arguments=frozenset(inherited), escape=escape,
        author=author,
    )  # fmt: skip


def apply_instruction(
    written: Instruction, state: StageState, *, given: Mapping[str, str | None], defaults: Mapping[str, str]
) -> Step:
    """Return what *written* comes to in *state*.

    Args:
        written: an instruction as it was parsed.
        state: what came before it.
        given: `--build-arg`.
        defaults: ARGs from before the first FROM, and the platforms: what a bare `ARG NAME` may take.

    Raises:
        DockerfileError: a value is missing or has the wrong form.
    """
    instruction = expand_instruction(written, state.scope, state.escape)
    step = _apply(instruction, state, given, defaults)
    after = step.state.config
    argv = {Cmd: after.cmd, Entrypoint: after.entrypoint}.get(type(instruction), ())
    argv = step.operation.argv if isinstance(step.operation, RunCommand) else argv
    shown = {name: state.scope.get(name, "") for name in state.declared}
    ports = parse_ports(instruction.ports) if isinstance(instruction, Expose) else ()
    return replace(step, history=render_history(instruction, step.text, argv=argv or (), arguments=shown, ports=ports))


def _apply(instruction: Instruction, state: StageState, given: Mapping[str, str | None], defaults: Mapping[str, str]) -> Step:
    if isinstance(instruction, Arg):
        return _declare(instruction, state, given, defaults)
    if isinstance(instruction, Run):
        return _run(instruction, state, given)
    if isinstance(instruction, Copy | Add):
        return _copy(instruction, state)
    if isinstance(instruction, Workdir):
        path = posixpath.normpath(posixpath.join("/", state.directory, instruction.path))
        path = "/" + path.lstrip("/")
        state = _configure(state, working_dir=path)
        return Step(state=state, text=f"WORKDIR {path}", operation=MakeDirectory(path=path))
    return _set(instruction, state)


def _configure(state: StageState, **changes: object) -> StageState:
    return replace(state, config=replace(state.config, **changes))  # type: ignore[arg-type]  # checked by ContainerConfig


def _declare(instruction: Arg, state: StageState, given: Mapping[str, str | None], defaults: Mapping[str, str]) -> Step:
    """ARG: a name may be given a value from outside."""
    scope, arguments, shown = dict(state.scope), set(state.arguments), []
    for pair in instruction.pairs:
        value = given.get(pair.name)
        if value is None:
            value = defaults.get(pair.name) if pair.value is None else expand_word(pair.value, scope, state.escape)
        if value is not None:
            scope[pair.name] = value
            arguments.add(pair.name)
        shown.append(pair.name if value is None else f"{pair.name}={value}")
    names = dict.fromkeys((*state.declared, *(pair.name for pair in instruction.pairs)))
    state = replace(state, scope=scope, arguments=frozenset(arguments), declared=tuple(names))
    return Step(state=state, text=f"ARG {' '.join(shown)}")


def _run(instruction: Run, state: StageState, given: Mapping[str, str | None]) -> Step:
    script = ""
    if isinstance(instruction.command, ExecForm):
        argv = instruction.command.words
    else:
        line = instruction.command.line
        if len(instruction.heredocs) == 1 and _LONE_HEREDOC.fullmatch(line):
            line = instruction.heredocs[0].body
            if line.startswith("#!"):
                script, argv = line, (f"/dev/pipes/{instruction.heredocs[0].name}",)
        else:
            line = "\n".join((line, *(f"{doc.content}{doc.name}" for doc in instruction.heredocs)))
        argv = argv if script else (*state.shell, line)
    proxies = {name: value for name, value in given.items() if name in PROXY_ARGUMENTS and value and name not in state.scope}
    env = tuple(f"{name}={value}" for name, value in {**proxies, **state.scope}.items())
    parsed = parse_mounts(instruction, state.scope, state.escape)
    mounts = tuple(replace(m, target=posixpath.join(state.directory, m.target) if m.target else "") for m in parsed)
    for mount in mounts:
        if mount.target and posixpath.normpath(mount.target) in ("/", "//"):
            raise DockerfileError('invalid mount target "/"', hint="mount below it", culprit="--mount")
    operation = RunCommand(
        argv=argv, env=env, directory=state.directory, user=state.config.user, network=instruction.network,
        security=instruction.security, mounts=mounts, script=script,
    )  # fmt: skip
    shown = sorted(f"{name}={state.scope[name]}" for name in state.arguments)
    words = [f"|{len(shown)}", *shown] if shown else []
    return Step(state=state, text=" ".join(["RUN", *words, *(argv if not script else (argv[0], script))]), operation=operation)


def _copy(instruction: Copy | Add, state: StageState) -> Step:
    is_directory = instruction.destination.endswith("/") or posixpath.basename(instruction.destination) in (".", "..")
    destination = "/" + posixpath.normpath(posixpath.join(state.directory, instruction.destination)).lstrip("/")
    if is_directory and destination != "/":
        destination += "/"
    if len(instruction.sources) + len(instruction.heredocs) > 1 and not destination.endswith("/"):
        name = type(instruction).__name__.upper()
        raise DockerfileError(
            f"When using {name} with more than one source file, the destination must be a directory and end with a /",
            culprit=instruction.destination,
        )
    sources = [*instruction.sources, *(f"<<{doc.name}" for doc in instruction.heredocs)]
    text = " ".join([type(instruction).__name__.upper(), *_flags_of(instruction), *sources, destination])
    return Step(state=state, text=text, operation=CopyFiles(instruction=instruction, destination=destination))


def _flags_of(instruction: Copy | Add) -> list[str]:
    """Return the flags that make a difference, as they are written."""
    flags = [f"--{name}={value}" for name in ("chown", "chmod", "checksum") if (value := getattr(instruction, name, ""))]
    flags += [f"--from={instruction.from_}"] if isinstance(instruction, Copy) and instruction.from_ else []
    flags += [f"--{name}" for name in ("link", "parents", "keep_git_dir") if getattr(instruction, name, False)]
    unpack = getattr(instruction, "unpack", None)
    flags += [f"--unpack={str(unpack).lower()}"] if unpack is not None else []
    return flags + [f"--exclude={pattern}" for pattern in instruction.exclude]


def _set(instruction: Instruction, state: StageState) -> Step:
    """Carry out what only changes the configuration."""
    config = state.config
    match instruction:
        case Env():
            return _set_environment(instruction, state)
        case Label():
            labels = {pair.name: pair.value or "" for pair in instruction.pairs}
            text = f"LABEL {' '.join(f'{name}={value}' for name, value in labels.items())}"
            return Step(state=_configure(state, labels={**config.labels, **labels}), text=text)
        case Cmd():
            argv = _wrap(instruction.command, state)
            return Step(state=replace(_configure(state, cmd=argv, args_escaped=True), has_own_command=True), text=f"CMD {json.dumps(argv)}")
        case Entrypoint():
            argv = _wrap(instruction.command, state)
            changes = {"entrypoint": argv} if state.has_own_command else {"entrypoint": argv, "cmd": None}
            return Step(state=_configure(state, **changes), text=f"ENTRYPOINT {json.dumps(argv)}")
        case Expose():
            ports = parse_ports(instruction.ports)
            text = f"EXPOSE {json.dumps(ports)}"
            return Step(state=_configure(state, exposed_ports={**config.exposed_ports, **{port: {} for port in ports}}), text=text)
        case Healthcheck():
            return Step(state=_configure(state, healthcheck=instruction.config), text=f"HEALTHCHECK {instruction.config!r}")
        case Maintainer():
            return Step(state=replace(state, author=instruction.name), text=f"MAINTAINER {instruction.name}")
        case OnBuild():
            on_build = (*config.on_build, instruction.trigger)
            return Step(state=_configure(state, on_build=on_build), text=f"ONBUILD {instruction.trigger}")
        case Shell():
            return Step(state=_configure(state, shell=instruction.words), text=f"SHELL {json.dumps(instruction.words)}")
        case StopSignal():
            return Step(state=_configure(state, stop_signal=instruction.signal), text=f"STOPSIGNAL {instruction.signal}")
        case User():
            if not instruction.user:
                raise DockerfileError("USER requires a name", culprit="USER")
            return Step(state=_configure(state, user=instruction.user), text=f"USER {instruction.user}")
        case Volume():
            if "" in instruction.paths:
                raise DockerfileError("VOLUME specified can not be an empty string", culprit="VOLUME")
            volumes = {**config.volumes, **{path: {} for path in instruction.paths}}
            return Step(state=_configure(state, volumes=volumes), text=f"VOLUME {json.dumps(instruction.paths)}")
        case _:
            raise AssertionError(f"no rule for {instruction}")


def _wrap(command: Command, state: StageState) -> tuple[str, ...]:
    """Return the words of execve(2): the shell form becomes ONE argument of the shell."""
    return (*state.shell, command.line) if isinstance(command, ShellForm) else command.words


def _set_environment(instruction: Env, state: StageState) -> Step:
    pairs = {pair.name: pair.value or "" for pair in instruction.pairs}
    env = dict(word.partition("=")[::2] for word in state.config.env) | pairs
    config = replace(state.config, env=tuple(f"{name}={value}" for name, value in env.items()))
    state = replace(state, config=config, scope={**state.scope, **pairs}, arguments=state.arguments - set(pairs))
    return Step(state=state, text=f"ENV {' '.join(f'{name}={value}' for name, value in pairs.items())}")


def parse_ports(words: Iterable[str]) -> tuple[str, ...]:
    """Return every port of EXPOSE as `number/protocol`, sorted; a range is all of its ports.

    Raises:
        DockerfileError: no port, or one that does not exist.
    """
    ports: set[tuple[int, str]] = set()
    for word in words:
        match = _PORT.fullmatch(word)
        first = int(match[1]) if match else 0
        last = int(match[2]) if match and match[2] else first
        protocol = (match[3] or "tcp").lower() if match else ""
        if not 0 < first <= last <= 65535:
            raise DockerfileError(f"invalid containerPort: {word}", culprit=word)
        if protocol not in ("tcp", "udp", "sctp"):
            raise DockerfileError(f"invalid proto: {protocol}", culprit=word)
        ports.update((number, protocol) for number in range(first, last + 1))
    return tuple(sorted(f"{number}/{protocol}" for number, protocol in ports))
