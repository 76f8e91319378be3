"""What a command is: its arguments, its flags and the function that carries it out. Pure."""

from __future__ import annotations

from minidocker.cli.flags import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minidocker.cli.flags import Flag, Options
    from minidocker.cli.session import Session

__all__ = ["Command", "check_arguments"]


class Command:
    """One command of the client, under all of its names."""

    __slots__ = ("act", "flags", "interspersed", "maximum", "minimum", "usage")

    def __init__(
        self,
        usage: str,
        act: Callable[[Session, Options], int],
        flags: Sequence[Flag] = (),
        *,
        minimum: int = 0,
        maximum: int | None = None,
        interspersed: bool = True,
    ) -> None:
        """Let *act* return the exit status; *minimum* and *maximum* bound the number of arguments."""
        self.usage = usage
        self.act = act
        self.flags = flags
        self.minimum = minimum
        self.maximum = maximum
        self.interspersed = interspersed


def check_arguments(command: Command, name: str, count: int) -> None:
    """Refuse a wrong number of arguments in Docker's words.

    Raises:
        UsageError: too few or too many.
    """
    low, high = command.minimum, command.maximum
    if low <= count and (high is None or count <= high):
        return
    if high == 0:
        raise UsageError(f"'{name}' accepts no arguments", exit_status=1, prefix=True)
    if high == low:
        raise UsageError(f"'{name}' requires {_arguments(low)}", exit_status=1, prefix=True)
    if high is None:
        wanted = f"requires at least {_arguments(low)}"
    elif low == 0:
        wanted = f"requires at most {_arguments(high)}"
    else:
        wanted = f"requires at least {low} and at most {_arguments(high)}"
    raise UsageError(f"'{name}' {wanted}", exit_status=1, prefix=True, verb="See")


def _arguments(count: int) -> str:
    return f"{count} argument" + ("" if count == 1 else "s")
