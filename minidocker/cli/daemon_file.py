"""The server's configuration file, `daemon.json`: the flags of `daemon` as a JSON object.

Pure but for `read_daemon_file`. Docker's keys are the long names of the flags, in the plural where a flag may be repeated. What is said
twice, in the file and on the command line, is refused, and so is a key that is none. Chapter 14.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from minidocker.errors import HostError, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.spec.record import Json

__all__ = ["WITHOUT_EFFECT", "compose_words", "read_daemon_file"]

_FLAGS = {
    "hosts": "host", "insecure-registries": "insecure-registry", "registry-mirrors": "registry-mirror", "dns-opts": "dns-opt",
    "default-address-pools": "default-address-pool", "log-opts": "log-opt", "default-ulimits": "default-ulimit",
}  # fmt: skip
"""Keys whose flag has another name."""
_SAME = (
    "bip", "data-root", "debug", "default-cgroupns-mode", "default-ipc-mode", "default-shm-size", "dns", "dns-search", "exec-root",
    "fixed-cidr-v6", "host-gateway-ip", "icc", "ip", "log-driver", "log-level", "mtu", "pidfile", "storage-driver", "tls", "tlscacert",
    "tlscert", "tlskey", "tlsverify", "userns-remap",
)  # fmt: skip
WITHOUT_EFFECT = frozenset({
    "builder", "containerd", "default-runtime", "exec-opts", "experimental", "features", "group", "init", "ip-forward", "ip-masq",
    "iptables", "ip6tables", "ipv6", "labels", "live-restore", "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts",
    "oom-score-adjust", "runtimes", "seccomp-profile", "selinux-enabled", "shutdown-timeout", "storage-opts", "userland-proxy",
})  # fmt: skip
"""Keys of Docker's that change nothing here; the server says so."""


def read_daemon_file(path: str, *, is_named: bool) -> dict[str, Json]:
    """Return the object in a file; an empty one if there is no file and nobody named it.

    Raises:
        HostError, InvalidParameter: it cannot be read, or is no JSON object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError as error:
        if not is_named:
            return {}
        raise HostError(f"unable to configure the Docker daemon with file {path}: open {path}: no such file or directory") from error
    except OSError as error:
        raise HostError(f"unable to configure the Docker daemon with file {path}: {(error.strerror or '').lower()}") from error
    except ValueError as error:
        raise InvalidParameter(f"unable to configure the Docker daemon with file {path}: {error}", hint="it is one JSON object") from error
    if not isinstance(document, dict):
        raise InvalidParameter(f"unable to configure the Docker daemon with file {path}: it is no JSON object")
    return document


def compose_words(document: Mapping[str, Json], *, path: str, given: Collection[str]) -> list[str]:
    """Return the words of the command line that *document* stands for.

    Raises:
        InvalidParameter: an unknown key, one that is *given* on the command line as well, or a value of the wrong kind.
    """
    start = f"unable to configure the Docker daemon with file {path}"
    unknown = sorted(document.keys() - _FLAGS.keys() - set(_SAME) - WITHOUT_EFFECT)
    if unknown:
        raise InvalidParameter(f"{start}: the following directives don't match any configuration option: {', '.join(unknown)}")
    wanted = {key: _FLAGS.get(key, key) for key in document if key not in WITHOUT_EFFECT}
    twice = sorted(key for key, flag in wanted.items() if flag in given)
    if twice:
        raise InvalidParameter(f"{start}: the following directives are specified both as a flag and in the configuration file: {', '.join(twice)}")
    words = []
    for key, flag in wanted.items():
        try:
            words += [f"--{flag}={text}" for text in _texts(document[key])]
        except TypeError:
            raise InvalidParameter(f"{start}: `{key}` has a value that is no text, number, list or object of these") from None
    return words


def _texts(value: Json) -> Iterator[str]:
    """Yield the values of a flag: one, one for each item of a list, or `key=value` for each pair of an object."""
    match value:
        case bool():
            yield "true" if value else "false"
        case str() | int() | float():
            yield str(value)
        case list():
            for item in value:  # an object in a list, such as an address pool, is one value
                yield ",".join(_texts(item)) if isinstance(item, dict) else next(_texts(item))
        case dict():
            for name, item in value.items():
                if isinstance(item, dict):  # {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}
                    yield f"{name}={item.get('Soft', item.get('Hard'))}:{item.get('Hard', item.get('Soft'))}"
                else:
                    yield f"{name}={next(_texts(item))}"
        case _:
            raise TypeError
