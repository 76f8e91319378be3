"""`build --check`: what a careful colleague would say about a Dockerfile. Nothing is built, and no server is started for it. Acts.

A server that runs anyway is asked which variables the base images set and what they were made for; about images that nobody knows
less is said. The exit code is 1 if anything was found, as with Docker. Chapter 14.
"""

from __future__ import annotations

import os
import sys

from minidocker.client.build_context import find_rules
from minidocker.client.fields import text_at, texts_at
from minidocker.dockerfile.check import Surroundings, check_dockerfile
from minidocker.dockerfile.parser import parse_dockerfile
from minidocker.dockerfile.report import render_check
from minidocker.errors import HostError, InvalidParameter, MinidockerError, NotSupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.session import Session
    from minidocker.dockerfile.instructions import Dockerfile

__all__ = ["check_build"]


def check_build(session: Session, place: str, dockerfile: str, arguments: dict[str, str], *, platform: str = "") -> int:
    """Print what the Dockerfile of the context *place* does against the rules, and return the exit code.

    Raises:
        DockerfileError: it cannot be understood.
        InvalidParameter, HostError: it is not there.
    """
    name, content = _read(place, dockerfile)
    file = parse_dockerfile(content)
    rules = find_rules(place, name, dockerfile) if place != "-" else ()
    environments: dict[str, dict[str, str]] = {}
    platforms: dict[str, str] = {}
    _ask_about_bases(session, file, environments, platforms)
    around = Surroundings(
        build_args=arguments, ignore_rules=rules, base_environments=environments, base_platforms=platforms,
        **({"platform": platform} if platform else {}),
    )  # fmt: skip
    findings = check_dockerfile(file, around)
    print(render_check(findings, file.lines, name), end="")
    return 1 if findings else 0


def _read(place: str, dockerfile: str) -> tuple[str, bytes]:
    """Return the name of the Dockerfile below the context, and what is in it."""
    if "-" in (place, dockerfile):
        return "Dockerfile", sys.stdin.buffer.read()
    if not os.path.isdir(place):
        if "://" in place or place.startswith("git@"):
            raise NotSupported(f"check `{place}`: only a directory or - can be checked", hint="fetch it first")
        raise InvalidParameter(f'unable to prepare context: path "{place}" not found')
    path = dockerfile or os.path.join(place, "Dockerfile")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise HostError(f"failed to read dockerfile: open {path}: {(error.strerror or '').lower()}") from error
    root, real = os.path.realpath(place), os.path.realpath(path)
    inside = os.path.commonpath([root, real]) == root
    return os.path.relpath(real, root).replace(os.sep, "/") if inside else os.path.basename(path), content


def _ask_about_bases(session: Session, file: Dockerfile, environments: dict[str, dict[str, str]], platforms: dict[str, str]) -> None:
    if not session.explicit and not os.path.exists(session.address.removeprefix("unix://")):
        return
    for image in {stage.base.image for stage in file.stages} - {"scratch", *(stage.name for stage in file.stages)}:
        if "$" in image:
            continue
        try:
            found = session.client().get(f"/images/{image}/json")
        except (MinidockerError, OSError):
            continue  # not there, or nobody to ask: then nothing is known about it
        environments[image] = dict(word.partition("=")[::2] for word in texts_at(found, "Config", "Env"))
        parts = (text_at(found, "Os"), text_at(found, "Architecture"), text_at(found, "Variant"))
        platforms[image] = "/".join(part for part in parts if part)
