"""Failures that are expected in normal use, by who must act on them.

Every error a user can meet derives from `MinidockerError`. The families say who has to do something:
`UserError` (the one who asked), `PeerError` (a remote program, such as a registry) and `HostError` (this machine).
Leaves that belong to one concept live beside the code that raises them.

Rule: a message is verb, object in backticks, cause; a *hint* says the next step.
"""

from __future__ import annotations


class MinidockerError(Exception):
    """An expected failure: one sentence with its cause, and a hint with the next step."""

    http_status = 500
    """The status with which the Remote API answers; see `minidocker.api`."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep *message* (verb, object, cause) and *hint* (what to do now; may be empty)."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Message and hint on one line, for logs; in the Remote API they are two keys, because Docker's clients know one."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UserError(MinidockerError):
    """The request cannot be carried out as it was put."""

    http_status = 400


class InvalidParameter(UserError):
    """A value has the wrong form or lies outside its range."""


class NotFound(UserError):
    """The named thing does not exist here."""

    http_status = 404


class Conflict(UserError):
    """The named thing exists, and its state does not allow this."""

    http_status = 409


class Forbidden(UserError):
    """The named thing is protected from this operation."""

    http_status = 403


class NotModified(UserError):
    """The thing is already in the state that was asked for."""

    http_status = 304


class NotSupported(UserError):
    """Docker has this, minidocker does not; the message says what to use instead."""

    http_status = 501


class PeerError(MinidockerError):
    """A remote program (registry, token service, server) failed or broke its protocol."""


class HostError(MinidockerError):
    """This machine lacks something, refused something or is full."""


class Unavailable(HostError):
    """The service exists, but not in this state of the machine."""

    http_status = 503
