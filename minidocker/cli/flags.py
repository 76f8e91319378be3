"""Read a command line as Docker does: flags in tables, GNU spelling, Docker's words for mistakes.

Pure. A command lists its flags as `Flag` values; `parse_flags` returns `Options`. The rules are those of the Go
library pflag, which decides what scripts get away with: `-it`, `-p80:80`, `-p=80:80`, `--name x`, `--name=x`,
`--rm=false`; `--` ends the flags; a command that runs another command stops at its first word. Chapter 14.
"""

from __future__ import annotations

from minidocker.errors import InvalidParameter, MinidockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BOOL", "BYTES", "DURATION", "INT", "LIST", "MAP", "STRING", "Flag", "HelpRequested", "Kind", "Options", "UsageError", "parse_flags",
]  # fmt: skip


class UsageError(MinidockerError):
    """The command line cannot be understood; answered with the usage line of the command."""

    def __init__(
        self, message: str, *, exit_status: int = 125, prefix: bool = False, verb: str = "Run", brief: bool = False
    ) -> None:
        """Keep how Docker words this mistake: with the program's name, the usage line (unless *brief*), `Run` or `See`."""
        super().__init__(message)
        self.exit_status = exit_status
        self.prefix = prefix
        self.verb = verb
        self.brief = brief


class HelpRequested(Exception):
    """`--help` was given."""


class Kind:
    """What a flag's value may be: the word that `--help` shows, and how its text is read."""

    __slots__ = ("bare", "many", "read", "word", "zero")

    def __init__(
        self,
        word: str,
        read: Callable[[str], bool | int | str],
        zero: bool | int | str = "",
        *,
        many: bool = False,
        bare: str | None = None,
    ) -> None:
        """Let *read* raise ValueError with the cause; *many* collects texts; *bare* is the value when none is given."""
        self.word = word
        self.read = read
        self.zero = zero
        self.many = many
        self.bare = bare


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def _read_bool(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def read_integer(text: str) -> int:
    """Return the integer that *text* spells in Go's syntax, with `0x`, `0o` and `0b`."""
    try:
        return int(text, 0) if not text.lstrip("+-").isdigit() else int(text)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _read_bytes(text: str) -> int:
    from minidocker.cli.units import parse_bytes

    return parse_bytes(text)


def _read_duration(text: str) -> int:
    from minidocker.cli.units import parse_duration_ns

    return parse_duration_ns(text)


BOOL = Kind("", _read_bool, False, bare="true")
STRING = Kind("string", str)
LIST = Kind("list", str, many=True)
MAP = Kind("map", str, many=True)
INT = Kind("int", read_integer, 0)
BYTES = Kind("bytes", _read_bytes, 0)
"""A size such as `64m`, in bytes."""
DURATION = Kind("duration", _read_duration, 0)
"""A Go duration such as `1m30s`, in nanoseconds."""


class Flag:
    """One flag of a command."""

    __slots__ = ("default", "hidden", "kind", "name", "short", "stored_as", "summary")

    def __init__(
        self,
        name: str,
        kind: Kind,
        summary: str,
        *,
        short: str = "",
        default: bool | int | str | None = None,
        stored_as: str = "",
        hidden: bool = False,
    ) -> None:
        """Name the flag; *stored_as* makes it another spelling of that flag."""
        self.name = name
        self.kind = kind
        self.summary = summary
        self.short = short
        self.default = kind.zero if default is None else default
        self.stored_as = stored_as or name
        self.hidden = hidden

    def spelling(self) -> str:
        """How Docker names the flag in a message: `-m, --memory`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Options:
    """The values of a command's flags, and its arguments."""

    __slots__ = ("_lists", "_values", "arguments", "given")

    def __init__(self, flags: Sequence[Flag]) -> None:
        """Start from the defaults of *flags*."""
        self._values = {flag.name: flag.default for flag in flags if not flag.kind.many}
        self._lists: dict[str, list[str]] = {flag.name: [] for flag in flags if flag.kind.many}
        self.given: set[str] = set()
        """Names of the flags that appeared on the command line."""
        self.arguments: list[str] = []
        """What is left when the flags are taken out."""

    def store(self, flag: Flag, text: str) -> None:
        """Take *text* as a value of *flag*.

        Raises:
            UsageError: it has the wrong form.
        """
        try:
            value = flag.kind.read(text)
        except ValueError as error:
            raise UsageError(f'invalid argument "{text}" for "{flag.spelling()}" flag: {error}') from error
        except InvalidParameter as error:
            raise UsageError(f'invalid argument "{text}" for "{flag.spelling()}" flag: {error}') from error
        self.given.add(flag.stored_as)
        if flag.kind.many:
            self._lists[flag.stored_as].append(str(value))
        else:
            self._values[flag.stored_as] = value

    def overlay(self, other: Options) -> None:
        """Take over what is given in *other*, and its arguments."""
        for name in other.given:
            if name in other._lists:
                self._lists[name] = other._lists[name]
            else:
                self._values[name] = other._values[name]
        self.given |= other.given
        self.arguments = other.arguments

    def switch(self, name: str) -> bool:
        """The value of a yes-or-no flag."""
        return bool(self._values[name])

    def text(self, name: str) -> str:
        """The value of a flag that holds text."""
        return str(self._values[name])

    def number(self, name: str) -> int:
        """The value of a flag that holds an integer, a size or a duration."""
        return int(self._values[name])

    def texts(self, name: str) -> list[str]:
        """The values of a flag that may be repeated, in order."""
        return self._lists[name]

    def mapping(self, name: str) -> dict[str, str]:
        """The `KEY=VALUE` values of a flag that may be repeated; without `=` the value is empty."""
        pairs = (text.partition("=") for text in self._lists[name])
        return {key: value for key, _, value in pairs}


def parse_flags(flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool = True) -> Options:
    """Return the flags and arguments in *words*.

    Args:
        flags: what the command knows; `--help` is always known.
        words: the command line behind the command's name.
        interspersed: whether flags may follow arguments; not so where the arguments are a command to run.

    Raises:
        UsageError: an unknown flag, a missing value or one of the wrong form, in Docker's words.
        HelpRequested: `--help` was among the flags.
    """
    by_name = {flag.name: flag for flag in flags}
    by_short = {flag.short: flag for flag in flags if flag.short}
    options = Options(flags)
    remaining = list(reversed(words))
    while remaining:
        word = remaining.pop()
        if word == "--":
            break
        if word.startswith("--"):
            _take_long(word, remaining, by_name, options)
        elif word.startswith("-") and word != "-":
            _take_short(word, remaining, by_short, options)
        else:
            options.arguments.append(word)
            if not interspersed:
                break
    options.arguments.extend(reversed(remaining))
    return options


def _take_long(word: str, remaining: list[str], by_name: dict[str, Flag], options: Options) -> None:
    name, equals, text = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: {word}")
    flag = by_name.get(name)
    if flag is None:
        if name == "help":
            raise HelpRequested
        raise UsageError(f"unknown flag: --{name}")
    if not equals:
        if flag.kind.bare is not None:
            text = flag.kind.bare
        elif remaining:
            text = remaining.pop()
        else:
            raise UsageError(f"flag needs an argument: --{name}")
    options.store(flag, text)


def _take_short(word: str, remaining: list[str], by_short: dict[str, Flag], options: Options) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = by_short.get(letter)
        if flag is None:
            if letter == "h":
                raise HelpRequested
            raise UsageError(f"unknown shorthand flag: '{letter}' in -{letter}{letters}")
        if letters.startswith("="):
            text, letters = letters[1:], ""
        elif flag.kind.bare is not None:
            text = flag.kind.bare
        elif letters:
            text, letters = letters, ""
        elif remaining:
            text = remaining.pop()
        else:
            raise UsageError(f"flag needs an argument: '{letter}' in {word}")
        options.store(flag, text)
