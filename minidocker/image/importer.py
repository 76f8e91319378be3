"""`docker import`: an archive of a root file system becomes an image of one layer, with changes to its configuration.

`apply_changes` is pure: it takes instructions as a Dockerfile has them (`CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `LABEL`, `ONBUILD`,
`STOPSIGNAL`, `USER`, `VOLUME`, `WORKDIR`). `import_archive` acts. Chapter 7.
"""

from __future__ import annotations

import json
import platform as host_platform
import posixpath
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from minidocker.codec.tar import ByteSource, InvalidArchive
from minidocker.errors import InvalidParameter
from minidocker.image.commit import compose_config
from minidocker.codec.compression import open_decompressed
from minidocker.image.ingest import describe_layer
from minidocker.image.store import ImageRecord, ImageStore, render_json
from minidocker.reference.reference import Reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History, Platform, go_architecture
from minidocker.spec.record import render_record

__all__ = ["ImportRequest", "apply_changes", "import_archive"]

Change = Callable[[ContainerConfig, str], ContainerConfig]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What the new image is to be, apart from its files."""

    name: Reference | None = None
    comment: str = ""
    changes: tuple[str, ...] = ()
    platform: str = ""
    """`os[/architecture[/variant]]`; empty means this machine's."""


def import_archive(store: ImageStore, stream: ByteSource, request: ImportRequest, *, time_ns: int) -> ImageRecord:
    """Make an image of the root file system in *stream*, a tar archive that may be compressed.

    Raises:
        InvalidParameter: the archive is damaged, or a change cannot be understood; nothing of it stays.
        HostError: the disk is full; nothing stays.
    """
    config = apply_changes(ContainerConfig(), request.changes)
    os_name, _, rest = (request.platform or "linux").partition("/")
    architecture, _, variant = rest.partition("/")
    created = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(time_ns // 10**9))}.{time_ns % 10**9:09d}Z"
    with store.ingest() as ingest:
        layer = ingest.spool(open_decompressed(stream))
        if not layer.size:
            raise InvalidArchive("import: the archive is empty", hint="give a tar archive of a root file system")
        ingest.keep(layer)
        machine = Platform(architecture=architecture or go_architecture(host_platform.machine()), os=os_name, variant=variant)
        history = History(created=created, comment=request.comment)
        image = compose_config(None, config=config, history=history, diff_id=layer.digest, platform=machine)
        names = (request.name,) if request.name else ()
        return store.commit(ingest, config=render_json(render_record(image)), layers=(describe_layer(layer),), names=names)


def apply_changes(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """Return *config* with the instructions in *changes* carried out.

    Raises:
        InvalidParameter: an instruction that is unknown, cannot change a configuration, or has the wrong form.
    """
    for line in changes:
        word, _, rest = line.strip().partition(" ")
        if not word:
            continue
        change = _CHANGES.get(word.upper())
        if change is None:
            known = ", ".join(sorted(_CHANGES))
            raise InvalidParameter(f"{word} is not a valid change command", hint=f"it must be one of {known}")
        if not rest.strip():
            raise InvalidParameter(f"{word.upper()} requires at least one argument")
        config = change(config, rest.strip())
    return config


def _command(text: str) -> tuple[str, ...]:
    """Return a command in its JSON form or, failing that, as words for a shell."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    return ("/bin/sh", "-c", text)


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a list: a JSON array, or separated by blanks, quotes as in a shell."""
    if text.startswith("["):
        return _command(text) if _command(text)[:2] != ("/bin/sh", "-c") else tuple(text.split())
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidParameter(f"change `{text[:80]}`: {error}") from error


def _pairs(text: str) -> Mapping[str, str]:
    """Return `NAME=value NAME=value`, or the old form `NAME value with blanks`."""
    words = _words(text)
    if "=" not in words[0]:
        name, _, value = text.partition(" ")
        if not value:
            raise InvalidParameter(f"change `{text[:80]}`: expected NAME=value")
        return {name: value.strip()}
    pairs = [word.partition("=") for word in words]
    if any(not equals or not name for name, equals, _ in pairs):
        raise InvalidParameter(f"change `{text[:80]}`: expected NAME=value")
    return {name: value for name, _, value in pairs}


def _change_env(config: ContainerConfig, text: str) -> ContainerConfig:
    pairs = _pairs(text)
    kept = tuple(word for word in config.env if word.partition("=")[0] not in pairs)
    return replace(config, env=(*kept, *(f"{name}={value}" for name, value in pairs.items())))


def _change_expose(config: ContainerConfig, text: str) -> ContainerConfig:
    ports = [word if "/" in word else f"{word}/tcp" for word in _words(text)]
    for port in ports:
        number, _, protocol = port.partition("/")
        if not (number.isdigit() and 0 < int(number) < 65536) or protocol not in ("tcp", "udp", "sctp"):
            raise InvalidParameter(f"invalid containerPort: {port}")
    return replace(config, exposed_ports={**config.exposed_ports, **{port: {} for port in ports}})


def _change_working_directory(config: ContainerConfig, text: str) -> ContainerConfig:
    return replace(config, working_dir=posixpath.normpath(posixpath.join(config.working_dir or "/", text)))


_CHANGES: Final[Mapping[str, Change]] = {
    "CMD": lambda config, text: replace(config, cmd=_command(text)),
    "ENTRYPOINT": lambda config, text: replace(config, entrypoint=_command(text)),
    "ENV": _change_env,
    "EXPOSE": _change_expose,
    "LABEL": lambda config, text: replace(config, labels={**config.labels, **_pairs(text)}),
    "ONBUILD": lambda config, text: replace(config, on_build=(*config.on_build, text)),
    "STOPSIGNAL": lambda config, text: replace(config, stop_signal=text),
    "USER": lambda config, text: replace(config, user=text),
    "VOLUME": lambda config, text: replace(config, volumes={**config.volumes, **{path: {} for path in _words(text)}}),
    "WORKDIR": _change_working_directory,
}
