"""What a Dockerfile says, as values: a file, its stages and the 18 instructions with their flags as typed fields.

Rule: two files that mean the same are equal. So where a record stood in the text (`span`, `text`) takes no part in comparison,
and words are kept as they were written, quotes and variables included: what `$version` means is known only when the builder
gets there (`minidocker.dockerfile.expand`). Pure. Chapter 9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from minidocker.dockerfile.text import NO_SPAN, Span

if TYPE_CHECKING:
    from minidocker.spec.container import HealthConfig

__all__ = [
    "Add", "Arg", "Cmd", "Command", "Copy", "Directives", "Dockerfile", "Entrypoint", "Env", "ExecForm", "Expose", "From", "Healthcheck",
    "Heredoc", "Instruction", "Label", "Maintainer", "Mount", "MountType", "OnBuild", "Pair", "Run", "Shell", "ShellForm",
    "Sharing", "Stage", "StopSignal", "User", "Volume", "Workdir",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """What every instruction has besides its meaning: its place."""

    span: Span = field(default=NO_SPAN, compare=False, repr=False)
    text: str = field(default="", compare=False, repr=False)
    """The instruction as one line, continuations joined, heredoc bodies left out: the name of the build step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """A file written inside the Dockerfile: `<<NAME` and the lines up to `NAME`."""

    name: str
    content: str
    """The lines between, each with its newline; tabs at their start are kept even for `<<-`, see `body`."""
    expand: bool = True
    """Whether COPY and ADD replace variables in it: not if any part of the delimiter was quoted."""
    strip_tabs: bool = False
    """`<<-`: tabs at the start of lines are indentation."""
    descriptor: int = 0
    """`3<<NAME`: the number in front; it matters only to the shell."""

    @property
    def body(self) -> str:
        """The content without indentation, where that was asked for."""
        return "\n".join(line.lstrip("\t") for line in self.content.split("\n")) if self.strip_tabs else self.content


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellForm:
    """A command line for the image's shell, as ONE argument after `/bin/sh -c`."""

    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecForm:
    """A JSON array: the words of execve(2), with no shell in between."""

    words: tuple[str, ...]


Command: TypeAlias = ShellForm | ExecForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`name=value`; an ARG without a default has no value."""

    name: str
    value: str | None


class MountType(StrEnum):
    """What `RUN --mount` lends to one command."""

    BIND = "bind"
    CACHE = "cache"
    TMPFS = "tmpfs"
    SECRET = "secret"
    SSH = "ssh"


class Sharing(StrEnum):
    """Who may use a cache mount at the same time."""

    SHARED = "shared"
    PRIVATE = "private"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One `RUN --mount`; what a type does not have keeps its default."""

    type: MountType = MountType.BIND
    target: str = ""
    """May be relative to WORKDIR; a secret without one is `/run/secrets/ID`, or only in a variable."""
    source: str = ""
    """A path in `from_`, or in the build context; a secret may name its id here."""
    from_: str = ""
    """A stage or an image; never expanded."""
    read_only: bool = True
    """A bind is read-only unless `rw`; a cache is writable unless `ro`."""
    id: str = ""
    """Of a cache, a secret or an ssh socket, the type's default filled in."""
    sharing: Sharing = Sharing.SHARED
    size_bytes: int = 0
    """Of a tmpfs; 0 is no limit."""
    required: bool = False
    """Whether a secret or socket that the caller does not give is an error."""
    env: str | None = None
    """The variable that holds a secret."""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Located):
    """`FROM [--platform=P] IMAGE [AS NAME]`: a stage begins."""

    image: str
    name: str = ""
    """Lower case; empty for a stage without a name."""
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Located):
    """`RUN`: a command runs in the image so far, and what it changes becomes a layer."""

    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    """Each as written, because its values may be variables; `minidocker.dockerfile.mounts` makes `Mount` records of them."""
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Located):
    """`COPY`: files of the context, a stage or an image; or heredocs."""

    sources: tuple[str, ...]
    """Without the heredocs."""
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    from_: str = ""
    """A stage's name or number, a named context or an image; never expanded."""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Located):
    """`ADD`: as COPY from the context, and archives are unpacked, URLs and git repositories fetched."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    keep_git_dir: bool | None = None
    checksum: str = ""
    unpack: bool | None = None
    """None is by kind: local archives are unpacked, fetched ones are not."""
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Located):
    """`ARG NAME[=DEFAULT] …`."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Located):
    """`ENV NAME=VALUE …`."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Located):
    """`LABEL NAME=VALUE …`."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Located):
    """`CMD`: what `run` executes if it is given no command."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Located):
    """`ENTRYPOINT`: what `run` executes, with CMD or the given command as its arguments."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Located):
    """`EXPOSE PORT[/PROTOCOL] …`; an expanded word may turn into several, see `plan_ports`."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Located):
    """`HEALTHCHECK`, already in the form in which an image's configuration has it."""

    config: HealthConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Located):
    """`MAINTAINER`: what LABEL replaced."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBuild(Located):
    """`ONBUILD`: an instruction for the images that are built upon this one, kept as text."""

    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Located):
    """`SHELL`: what runs the shell form from here on."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Located):
    """`STOPSIGNAL`."""

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Located):
    """`USER NAME[:GROUP]`."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Located):
    """`VOLUME PATH …`."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Located):
    """`WORKDIR PATH`; a relative one continues the last."""

    path: str


Instruction: TypeAlias = (
    Add | Arg | Cmd | Copy | Entrypoint | Env | Expose | Healthcheck | Label | Maintainer | OnBuild | Run | Shell | StopSignal | User
    | Volume | Workdir
)  # fmt: skip
"""What may stand inside a stage; FROM opens one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """FROM and what follows it, up to the next FROM."""

    base: From
    instructions: tuple[Instruction, ...] = ()

    @property
    def name(self) -> str:
        """The name after AS, or nothing."""
        return self.base.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Directives:
    """The comments at the very top that are not comments."""

    syntax: str = ""
    escape: str = "\\"
    check: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A parsed file."""

    stages: tuple[Stage, ...]
    arguments: tuple[Arg, ...] = ()
    """ARG before the first FROM: visible in FROM lines, and in a stage only where it declares the name again."""
    directives: Directives = Directives()
    lines: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """The text, for messages and for the name of a step."""
