"""Fetch a kernel package of Debian, without being root and without installing anything.

Acting: calls `apt-get` with sources, lists and cache of its own, all below one directory, so that neither the packages nor the
settings of the host matter. apt checks the signature of the archive with the keys in the package `debian-archive-keyring`.
Which releases there are is a table; kernels from elsewhere are given by path. Chapter 20.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minidocker.errors import HostError, PeerError

__all__ = ["DEBIAN_MIRROR", "RELEASES", "Release", "fetch_package"]

DEBIAN_MIRROR: Final = "http://deb.debian.org/debian"
"""Where there is no mirror of Debian in the host's own settings."""
DEBIAN_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
FETCH_LIMIT_S: Final = 300.0
"""A kernel has 30 to 110 MB."""
_KEYRINGS: Final = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release of Debian and the kernel it comes with."""

    suite: str
    kernel: str


RELEASES: Final = {"6.1": Release(suite="bookworm", kernel="6.1"), "6.12": Release(suite="trixie", kernel="6.12")}
"""Kernel version → release; Debian 12 and 13."""


def fetch_package(version: str, *, flavour: str, machine: str, cache: Path) -> Path:
    """Return the newest kernel package of *version* (`6.1`), of *flavour* `cloud` (for virtual machines) or empty (for all).

    One that was fetched before is returned as it is: a machine must start without a network, too.

    Raises:
        HostError: this system cannot fetch it; says what to install, or to give a kernel by path.
        PeerError: apt could not get it; with apt's last words.
    """
    release, architecture = RELEASES[version], DEBIAN_MACHINES.get(machine, machine)
    ending = f"-{flavour}-{architecture}" if flavour else f"-{architecture}"
    directory = cache / "apt" / f"{release.suite}-{architecture}"
    pattern = re.compile(rf"linux-image-{re.escape(version)}\.\d[^_-]*(-\d+)?{re.escape(ending)}_.*\.deb")
    found = sorted((path for path in directory.glob("*.deb") if pattern.fullmatch(path.name)), key=lambda path: path.stat().st_mtime)
    if found:
        return found[-1]
    options = _prepare(directory, release, architecture)
    _run(["apt-get", *options, "-qq", "update"], directory, version)
    listing = _run(["apt-cache", *options, "depends", "--important", f"linux-image{ending}"], directory, version)
    match = re.search(r"Depends: (linux-image-\d\S+)", listing)
    if match is None:
        raise PeerError(f"fetch kernel {version}: Debian `{release.suite}` has no package `linux-image{ending}`")
    _run(["apt-get", *options, "-qq", "download", match[1]], directory, version)
    fetched = [path for path in directory.glob("*.deb") if path.name.startswith(match[1] + "_")]
    if not fetched:
        raise PeerError(f"fetch kernel {version}: apt-get downloaded no package `{match[1]}`")
    return fetched[0]


def _prepare(directory: Path, release: Release, architecture: str) -> list[str]:
    """Write a list of sources below *directory*; return the options that make apt use nothing else."""
    keys = next((path for name in _KEYRINGS if (path := Path("/usr/share/keyrings", name)).exists()), None)
    if shutil.which("apt-get") is None or keys is None:
        lacking = "Debian's keys (apt-get install debian-archive-keyring)" if shutil.which("apt-get") else "`apt-get`"
        raise HostError(
            f"fetch kernel {release.kernel}: this system has no {lacking}",
            hint="give a kernel of your own by path: a Debian kernel package (.deb), or a kernel file",
        )
    for part in ("lists/partial", "cache/archives/partial"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    mirror = _find_mirror()
    line = f"deb [arch={architecture} signed-by={keys}] {mirror} {release.suite} main\n"
    (directory / "sources.list").write_text(line, encoding="ascii")
    settings = {
        "Dir::Etc::sourcelist": directory / "sources.list", "Dir::Etc::sourceparts": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::lists": directory / "lists", "Dir::Cache": directory / "cache", "Dir::State::status": "/dev/null",
        "APT::Architecture": architecture, "APT::Architectures": architecture, "APT::Sandbox::User": "", "Acquire::Languages": "none",
    }  # fmt: skip
    return [f"-o{name}={value}" for name, value in settings.items()]


def _find_mirror() -> str:
    """Return the mirror of Debian that the host's apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout
    mirrors = [word.rstrip("/") for word in listing.split() if re.search(r"://[^/]+(/.*)?/debian/?$", word)]
    return mirrors[0] if mirrors else DEBIAN_MIRROR


def _run(command: list[str], directory: Path, version: str) -> str:
    """Run apt in *directory*; return what it says."""
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, check=False, timeout=FETCH_LIMIT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"fetch kernel {version}: `{command[0]}` did not end in {FETCH_LIMIT_S:.0f} s") from error
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise PeerError(f"fetch kernel {version}: {words}", hint="go online, or give a kernel package (.deb) by path")
    return done.stdout
