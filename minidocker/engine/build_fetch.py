"""What a build fetches: a file by HTTP, a git repository.

Acting. Both come from a Dockerfile or a client, so both are text of strangers. An URL is `http` or `https`, also after a redirection. For
git nothing is passed that could be an option (`--upload-pack=…`), references begin with no dash, only network protocols are allowed
(no `file:`, no `ext::`), the subdirectory is looked up inside the clone, and no configuration of this machine or hook of the repository
takes part (CVE-2026-33748, CVE-2017-1000117). Credentials in an URL are neither repeated in messages nor kept. Chapter 10.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from minidocker.build.sources import is_git
from minidocker.build.tree import Tree
from minidocker.errors import InvalidParameter, PeerError, UserError
from minidocker.kernel.overlay import open_trees

__all__ = ["fetch_source", "split_git"]

TIMEOUT_S: Final = 60.0
GIT_TIMEOUT_S: Final = 600.0
_CHUNK_BYTES: Final = 1 << 20
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]*")
_GIT_ENVIRONMENT: Final = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "http:https:git:ssh",
    "GIT_PROTOCOL_FROM_USER": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes", "LC_ALL": "C.UTF-8", "PATH": os.defpath + ":/usr/local/bin",
}  # fmt: skip


def fetch_source(source: str, directory: Path, *, checksum: str, keep_git_dir: bool, epoch: int | None) -> tuple[str, ...]:
    """Put what is at *source* into the empty *directory*; return the path in it that is meant.

    Raises:
        InvalidParameter: another scheme, a reference of the wrong form, content with another checksum.
        PeerError: the other side does not have it.
    """
    if is_git(source):
        return _clone(source, directory, checksum=checksum, keep_git_dir=keep_git_dir, epoch=epoch)
    return (_download(source, directory, checksum=checksum),)


def _redact(source: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", source)


def _download(source: str, directory: Path, *, checksum: str) -> str:
    """Fetch a file: mode 0600, its time what `Last-Modified` says."""
    name = os.path.basename(urllib.parse.unquote(urllib.parse.urlsplit(source).path)) or "download"
    if checksum and not re.fullmatch(r"sha256:[0-9a-f]{64}", checksum):
        raise InvalidParameter(f"invalid checksum digest format `{checksum[:80]}`", hint="use --checksum=sha256:… with 64 digits")
    opener = urllib.request.build_opener(urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.HTTPRedirectHandler)
    request = urllib.request.Request(source, headers={"User-Agent": "minidocker"})
    total = hashlib.sha256()
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer, (directory / name).open("xb") as file:
            while piece := answer.read(_CHUNK_BYTES):
                total.update(piece)
                file.write(piece)
            modified = answer.headers.get("Last-Modified", "")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise PeerError(f"fetch `{_redact(source)}`: {getattr(error, 'reason', error)}") from error
    found = f"sha256:{total.hexdigest()}"
    if checksum and found != checksum:
        raise InvalidParameter(f"digest mismatch {found}: {checksum}", hint="the file is another one than the Dockerfile expects")
    os.chmod(directory / name, 0o600)
    try:
        seconds = parsedate_to_datetime(modified).timestamp() if modified else 0.0
    except ValueError:
        seconds = 0.0
    os.utime(directory / name, (seconds, seconds))
    return name


def split_git(source: str) -> tuple[str, str, str]:
    """Return repository, reference and subdirectory of `URL#REF:DIRECTORY`.

    Raises:
        InvalidParameter: a reference or URL that git could take for an option.
    """
    url, _, fragment = source.partition("#")
    reference, _, subdirectory = fragment.partition(":")
    if url.startswith("github.com/"):
        url = f"https://{url}"
    if url.startswith("-") or (reference and not _REFERENCE.fullmatch(reference)) or ".." in reference:
        raise InvalidParameter(f"invalid git source `{_redact(source)[:120]}`: `{reference[:40]}` is no reference")
    return url, reference, subdirectory


def _clone(source: str, directory: Path, *, checksum: str, keep_git_dir: bool, epoch: int | None) -> tuple[str, ...]:
    """Check a repository out; return the names of the subdirectory, resolved inside it."""
    url, reference, subdirectory = split_git(source)
    clone = directory / "checkout"
    clone.mkdir(mode=0o755)
    _git(clone, source, "init", "--quiet", "--template=")
    _git(clone, source, "fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", url, reference or "HEAD", fallback=(
        "fetch", "--quiet", "--tags", "--end-of-options", url, "+refs/heads/*:refs/remotes/origin/*",
    ))  # fmt: skip
    target = "FETCH_HEAD" if not re.fullmatch(r"[0-9a-f]{7,40}", reference) else reference
    _git(clone, source, "checkout", "--quiet", "--detach", target, fallback=("checkout", "--quiet", "--detach", "FETCH_HEAD"))
    commit = _git(clone, source, "rev-parse", "HEAD").strip()
    if checksum and not commit.startswith(checksum):
        raise InvalidParameter(f"expected checksum to match {checksum}, got {commit}")
    if not keep_git_dir:
        shutil.rmtree(clone / ".git")
    moment = time.time() if epoch is None else epoch
    for path in clone.rglob("*"):
        os.utime(path, (moment, moment), follow_symlinks=False)
    with open_trees([clone]) as fds:
        names = Tree(fds).resolve(subdirectory)
        if Tree(fds).find(names) is None:
            raise InvalidParameter(f"git source `{_redact(source)}`: no directory `{subdirectory}`")
    return ("checkout", *names)


def _git(clone: Path, source: str, *words: str, fallback: tuple[str, ...] = ()) -> str:
    options = ("-c", "protocol.file.allow=never", "-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=true", "-c", "init.defaultBranch=main")
    environment = {**_GIT_ENVIRONMENT, "HOME": str(clone.parent)}
    try:
        done = subprocess.run(
            ["git", *options, *words], cwd=clone, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=GIT_TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UserError(f"fetch `{_redact(source)}`: this machine has no `git`", hint="install git, or use a tar archive") from error
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"fetch `{_redact(source)}`: git took more than {GIT_TIMEOUT_S:.0f} s") from error
    if done.returncode and fallback:
        return _git(clone, source, *fallback)
    if done.returncode:
        raise PeerError(f"fetch `{_redact(source)}`: {_redact(done.stderr.strip()[-300:])}")
    return done.stdout
