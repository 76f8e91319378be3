"""Contexts: servers under a name, kept where Docker's client keeps them, so that both see the same ones.

    ~/.docker/config.json                       "currentContext": NAME
    ~/.docker/contexts/meta/HASH/meta.json      {"Name": …, "Metadata": {"Description": …}, "Endpoints": {"docker": {"Host": …}}}
    ~/.docker/contexts/tls/HASH/docker/         ca.pem, cert.pem, key.pem

HASH is the SHA-256 of the name, so that a name may hold what a file system does not allow. The context `default` lies nowhere: it is what
the environment says. Acts, except for `parse_meta` and `render_meta`. Chapter 14.
"""

from __future__ import annotations

import os

from minidocker.client.fields import map_at, text_at, value_at
from minidocker.errors import HostError, InvalidParameter, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from minidocker.spec.record import Json

__all__ = [
    "DEFAULT", "Context", "current_context", "list_contexts", "meta_directory", "parse_meta", "read_config", "read_context",
    "remove_context", "render_meta", "tls_directory", "use_context", "write_config", "write_context",
]  # fmt: skip

DEFAULT = "default"
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")


class Context:
    """A server under a name."""

    __slots__ = ("description", "document", "host", "name", "skip_verify")

    def __init__(self, name: str, host: str, *, description: str = "", skip_verify: bool = False, document: dict[str, Json] | None = None) -> None:
        """Keep the facts, and the whole *document* they come from: other programs keep things of theirs in it."""
        self.name, self.host, self.description, self.skip_verify = name, host, description, skip_verify
        self.document = document or {}


def parse_meta(document: Json) -> Context:
    """Return the context that a `meta.json` describes."""
    return Context(
        text_at(document, "Name"), text_at(document, "Endpoints", "docker", "Host"), description=text_at(document, "Metadata", "Description"),
        skip_verify=bool(value_at(document, "Endpoints", "docker", "SkipTLSVerify")), document=map_at(document),
    )  # fmt: skip


def render_meta(context: Context) -> dict[str, Json]:
    """Return *context* as a `meta.json` has it."""
    metadata: dict[str, Json] = dict(map_at(context.document, "Metadata"))
    metadata.pop("Description", None)
    if context.description:
        metadata["Description"] = context.description
    endpoint: dict[str, Json] = {**map_at(context.document, "Endpoints", "docker"), "Host": context.host, "SkipTLSVerify": context.skip_verify}
    return {**context.document, "Name": context.name, "Metadata": metadata, "Endpoints": {**map_at(context.document, "Endpoints"), "docker": endpoint}}


def _hash(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


def meta_directory(directory: str, name: str) -> str:
    """Return where the description of context *name* lies."""
    return os.path.join(directory, "contexts", "meta", _hash(name))


def tls_directory(directory: str, name: str) -> str:
    """Return where the certificates of context *name* lie."""
    return os.path.join(directory, "contexts", "tls", _hash(name), "docker")


def read_config(directory: str) -> dict[str, Json]:
    """Return the settings in `config.json`; no file means none.

    Raises:
        HostError, InvalidParameter: it cannot be read.
    """
    return _read_json(os.path.join(directory, "config.json")) or {}


def _read_json(path: str, *, holding: str = "") -> dict[str, Json] | None:
    """Return the object in a file, `None` if there is none, or none that mentions *holding*."""
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HostError(f"read `{path}`: {(error.strerror or '').lower()}") from error
    if holding not in content or not content.strip():
        return None
    import json

    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise InvalidParameter(f"read `{path}`: it is not JSON: {error}") from error
    return map_at(document)


def write_config(directory: str, document: Mapping[str, Json]) -> None:
    """Replace `config.json`; only its owner may read it.

    Raises:
        HostError: the file cannot be written.
    """
    import json

    path = os.path.join(directory, "config.json")
    _replace(os.path.realpath(path), json.dumps(document, indent="\t").encode())  # the file may be a link into somebody's collection of settings


def _replace(path: str, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = f"{path}.{os.getpid()}.new"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise HostError(f"write `{path}`: {(error.strerror or '').lower()}") from error


def current_context(directory: str) -> str:
    """Return the context that `context use` has chosen; nothing if none."""
    return text_at(_read_json(os.path.join(directory, "config.json"), holding='"currentContext"'), "currentContext")


def use_context(directory: str, name: str) -> None:
    """Let *name* be what is used where nothing else is said."""
    if name != DEFAULT:
        read_context(directory, name)
    config = read_config(directory)
    config.pop("currentContext", None)
    write_config(directory, config if name == DEFAULT else {**config, "currentContext": name})


def read_context(directory: str, name: str) -> Context:
    """Return the context called *name*.

    Raises:
        NotFound: there is none.
    """
    path = os.path.join(meta_directory(directory, name), "meta.json")
    document = _read_json(path)
    if document is None:
        raise NotFound(f'context "{name}": context not found: open {path}: no such file or directory', hint="`minidocker context ls` shows those that exist")
    return parse_meta(document)


def list_contexts(directory: str) -> list[Context]:
    """Return all contexts that lie on the disk, by name."""
    folder = os.path.join(directory, "contexts", "meta")
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    documents = [_read_json(os.path.join(folder, name, "meta.json")) for name in names]
    return sorted((parse_meta(document) for document in documents if document), key=lambda context: context.name)


def write_context(directory: str, context: Context, files: Mapping[str, bytes] | None = None) -> None:
    """Keep *context*, and *files* (`ca`, `cert`, `key`) as its certificates; `None` leaves those it has.

    Raises:
        InvalidParameter: that is no name for a context.
    """
    import json

    name = context.name
    if name == DEFAULT:
        raise InvalidParameter('"default" is a reserved context name')
    if len(name) < 2 or not set(name) <= _NAME_CHARACTERS or not name[0].isalnum():
        raise InvalidParameter(f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"')
    if files is not None:
        _remove_folder(tls_directory(directory, name))
        for part, content in files.items():
            _replace(os.path.join(tls_directory(directory, name), f"{part}.pem"), content)
    _replace(os.path.join(meta_directory(directory, name), "meta.json"), json.dumps(render_meta(context), separators=(",", ":")).encode())


def remove_context(directory: str, name: str) -> None:
    """Forget context *name* and its certificates.

    Raises:
        NotFound: there is none.
    """
    if not os.path.isdir(meta_directory(directory, name)):
        raise NotFound(f'context "{name}" does not exist')
    _remove_folder(os.path.dirname(tls_directory(directory, name)))
    _remove_folder(meta_directory(directory, name))


def _remove_folder(path: str) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
