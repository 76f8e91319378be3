"""`login` and `logout`. Acts: asks the person, the server and the file. Chapter 14."""

from __future__ import annotations

import os
import sys

from minidocker.cli.command import Command
from minidocker.client.credentials import HUB_SERVER, Login, erase_login, find_login, store_login
from minidocker.client.fields import text_at
from minidocker.cli.flags import BOOL, STRING, Flag
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["LOGIN", "LOGOUT"]


def _server_of(options: Options) -> str:
    """Return the server that is meant: Docker Hub, or a host without scheme and path."""
    named = options.arguments[0] if options.arguments else ""
    host = named.removeprefix("https://").removeprefix("http://").rstrip("/")
    return HUB_SERVER if host in ("", "docker.io", "index.docker.io", "index.docker.io/v1", "registry-1.docker.io") else host.partition("/")[0]


def login(session: Session, options: Options) -> int:
    """Try a name and a password at a registry, and keep them."""
    server = _server_of(options)
    directory = session.config_directory
    given = _read_flags(options)
    if given is None:
        known = find_login(directory, server)
        if known is not None and (known.identity_token or (known.username and known.password)):
            print(f"Authenticating with existing credentials...{f' [Username: {known.username}]' if known.username else ''}", file=sys.stderr)
            return _try(session, server, known, known)
        given = _ask(options.text("username") or (known.username if known else ""))
    return _try(session, server, given)


def _read_flags(options: Options) -> Login | None:
    """Return what the command line says, `None` if it leaves something to ask."""
    name, password = options.text("username"), options.text("password")
    if options.switch("password-stdin"):
        if password:
            raise InvalidParameter("--password and --password-stdin are mutually exclusive")
        if not name:
            raise InvalidParameter("Must provide --username with --password-stdin")
        return Login(name, sys.stdin.read().rstrip("\r\n"))
    if password:
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
        return Login(name, password) if name else _ask("", password)
    return _ask(name) if name else None


def _ask(username: str, password: str = "") -> Login:
    """Ask the person for what is missing."""
    if not os.isatty(0):
        raise InvalidParameter("Error: Cannot perform an interactive login from a non TTY device", hint="use --username and --password-stdin")
    import getpass

    if not username:
        username = input("Username: ").strip()
    if not username:
        raise InvalidParameter("username is required")
    password = password or getpass.getpass("Password: ")
    if not password:
        raise InvalidParameter("password is required")
    return Login(username, password)


def _try(session: Session, server: str, given: Login, known: Login | None = None) -> int:
    answer = session.client().post("/auth", body=given.render(server))
    token = text_at(answer, "IdentityToken")
    kept = Login(given.username, "" if token else given.password, token)
    if given.identity_token and not token:
        kept.identity_token = given.identity_token
    path = store_login(session.config_directory, server, kept)
    if path and given is not known:
        print(
            f"\nWARNING! Your credentials are stored unencrypted in '{path}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n",
            file=sys.stderr,
        )
    print(text_at(answer, "Status") or "Login Succeeded")
    return 0


def logout(session: Session, options: Options) -> int:
    """Forget the name and the password for a registry."""
    server = _server_of(options)
    print(f"Removing login credentials for {server}")
    erase_login(session.config_directory, server)
    return 0


LOGIN = Command(
    "[OPTIONS] [SERVER]",
    login,
    (
        Flag("password", STRING, "Password or Personal Access Token (PAT)", short="p"),
        Flag("password-stdin", BOOL, "Take the Password or Personal Access Token (PAT) from stdin"),
        Flag("username", STRING, "Username", short="u"),
    ),
    maximum=1,
)
LOGOUT = Command("[SERVER]", logout, maximum=1)
