"""Who we are at which registry: `config.json` and the helper programs that keep secrets for it.

Acts: reads and writes files, runs helpers. Docker's rules: `credHelpers` names a helper for one registry, `credsStore` one for the rest,
and without either a secret lies in `auths` as base64, which hides it from nobody. A helper `x` is the program
`docker-credential-x`, which takes `get`, `store` or `erase` and speaks JSON. The server keeps nothing: each request carries what
the registry is to be shown. Chapter 14.
"""

from __future__ import annotations

import os

from minidocker.client.contexts import read_config, write_config
from minidocker.client.fields import map_at, text_at
from minidocker.errors import HostError, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.spec.record import Json

__all__ = ["HUB_SERVER", "Login", "erase_login", "find_login", "registry_auth", "server_of", "store_login"]

HUB_SERVER = "https://index.docker.io/v1/"
"""Docker Hub in `config.json`: the address of its first protocol."""
_TOKEN_USER = "<token>"
"""What a helper gives instead of a name where the secret is an identity token."""
_NOT_FOUND = "credentials not found in native keychain"
HELPER_TIMEOUT_S = 60


class Login:
    """A name and a password, or a token that stands for both."""

    __slots__ = ("identity_token", "password", "username")

    def __init__(self, username: str = "", password: str = "", identity_token: str = "") -> None:
        """Keep them."""
        self.username = username
        self.password = password
        self.identity_token = identity_token

    def render(self, server: str) -> dict[str, Json]:
        """Return it as the Remote API takes it."""
        document: dict[str, Json] = {"username": self.username, "password": self.password, "serveraddress": server}
        if self.identity_token:
            document["identitytoken"] = self.identity_token
        return document


def server_of(image: str) -> str:
    """Return under which server the credentials for *image* are kept."""
    host, slash, _ = image.partition("/")
    is_host = bool(slash) and ("." in host or ":" in host or host == "localhost" or host != host.lower())
    return HUB_SERVER if not is_host or host in ("docker.io", "index.docker.io") else host


def _helper_for(config: dict[str, Json], server: str) -> str:
    return text_at(config, "credHelpers", server) or text_at(config, "credHelpers", _host(server)) or text_at(config, "credsStore")


def _host(server: str) -> str:
    """Return a server without scheme and path: older clients wrote both."""
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _run_helper(helper: str, verb: str, text: str) -> str | None:
    """Return what a helper answers, `None` if it has nothing."""
    import subprocess

    program = f"docker-credential-{helper}"
    if not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise InvalidParameter(f"use credential helper `{helper}`: that is no name of a program")
    try:
        done = subprocess.run([program, verb], input=text, capture_output=True, text=True, timeout=HELPER_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise HostError(
            f"error getting credentials - err: exec: \"{program}\": executable file not found in $PATH",
            hint="install it, or take `credsStore` and `credHelpers` out of config.json",
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"run `{program} {verb}`: {error}") from error
    if done.returncode == 0:
        return done.stdout
    answer = (done.stdout.strip() or done.stderr.strip())[:300]
    if _NOT_FOUND in answer:
        return None
    raise HostError(f"run `{program} {verb}`: {answer or f'exit status {done.returncode}'}")


def find_login(directory: str, server: str) -> Login | None:
    """Return what is known for *server*.

    Raises:
        HostError: a helper fails.
    """
    config = read_config(directory)
    helper = _helper_for(config, server)
    if helper:
        import json

        answer = _run_helper(helper, "get", server)
        if answer is None:
            return None
        found: Json = json.loads(answer)
        name, secret = text_at(found, "Username"), text_at(found, "Secret")
        return Login(identity_token=secret) if name == _TOKEN_USER else Login(name, secret)
    entries = map_at(config, "auths")
    key = server if server in entries else next((known for known in entries if _host(known) == _host(server)), "")
    return _read_entry(entries[key]) if key else None


def _read_entry(entry: Json) -> Login | None:
    import base64

    name, password = text_at(entry, "username"), text_at(entry, "password")
    encoded, token = text_at(entry, "auth"), text_at(entry, "identitytoken")
    if encoded:
        try:
            name, _, password = base64.b64decode(encoded).decode().partition(":")
        except ValueError as error:
            raise InvalidParameter(f"read config.json: an `auth` is not base64 of NAME:PASSWORD: {error}") from error
    return Login(name, password.rstrip("\0"), token) if name or token else None


def store_login(directory: str, server: str, login: Login) -> str:
    """Keep *login*; return the file in which it lies readable, nothing if a helper has it.

    Raises:
        HostError: it cannot be kept.
    """
    import base64
    import json

    config = read_config(directory)
    entries = map_at(config, "auths")
    helper = _helper_for(config, server)
    if helper:
        secret = {"ServerURL": server, "Username": _TOKEN_USER if login.identity_token else login.username, "Secret": login.identity_token or login.password}
        _run_helper(helper, "store", json.dumps(secret))
        write_config(directory, {**config, "auths": {**entries, server: {}}})
        return ""
    entry: dict[str, Json] = {"auth": base64.b64encode(f"{login.username}:{login.password}".encode()).decode()}
    if login.identity_token:
        entry = {"auth": base64.b64encode(f"{login.username}:".encode()).decode(), "identitytoken": login.identity_token}
    write_config(directory, {**config, "auths": {**entries, server: entry}})
    return os.path.join(directory, "config.json")


def erase_login(directory: str, server: str) -> bool:
    """Forget what is known for *server*; whether anything was.

    Raises:
        HostError: a helper fails, or the file cannot be written.
    """
    config = read_config(directory)
    entries = map_at(config, "auths")
    doomed = [known for known in entries if known == server or _host(known) == _host(server)]
    helper = _helper_for(config, server)
    if helper:
        _run_helper(helper, "erase", server)
    if doomed:
        left = {known: entry for known, entry in entries.items() if known not in doomed}
        write_config(directory, {**config, "auths": left} if left else {key: value for key, value in config.items() if key != "auths"})
    return bool(doomed)


def registry_auth(directory: str, image: str) -> dict[str, str]:
    """Return the header with the credentials for the registry of *image*."""
    import base64
    import json

    server = server_of(image)
    login = find_login(directory, server)
    document = login.render(server) if login is not None else {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()}
