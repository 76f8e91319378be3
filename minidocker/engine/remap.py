"""`--userns-remap`: whose numbers the users of containers get.

Acting: reads `/etc/passwd`, `/etc/group`, `/etc/subuid` and `/etc/subgid` as Docker does. The word is a user, `USER:GROUP`, or their
numbers; `default` is the user `dockremap`, for whom a free range is reserved where nobody did. See subuid(5).
"""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from minidocker.codec.idmap import SUBIDS, IdMap, find_free_start, make_ranges, parse_subids
from minidocker.errors import HostError, InvalidParameter

__all__ = ["chown_tree", "find_id_map", "make_remapped_root"]

DEFAULT_USER = "dockremap"


def find_id_map(word: str, *, etc: Path = Path("/etc")) -> IdMap:
    """Return the map that *word* stands for.

    Raises:
        InvalidParameter: no such user, or nobody lent it numbers.
        HostError: a range for `default` cannot be reserved.
    """
    user, colon, group = word.partition(":")
    owners: tuple[str, ...] = (DEFAULT_USER,)
    groups: tuple[str, ...] = (DEFAULT_USER,)
    if word == "default":
        for name in ("subuid", "subgid"):
            _reserve(etc / name)
    else:
        owners, groups = _find_user(user), _find_group(group if colon else user)
    found = []
    for name, kind, names in (("subuid", "subuid", owners), ("subgid", "subgid", (*groups, *owners))):
        lent = parse_subids(_read(etc / name), names)
        if not lent:
            raise InvalidParameter(
                f"Can't create ID mappings: no {kind} ranges found for user \"{owners[0]}\"",
                hint=f"reserve one: `echo {owners[0]}:{find_free_start(_read(etc / name))}:{SUBIDS} >> /etc/{name}`",
            )
        found.append(make_ranges(lent))
    return IdMap(uids=found[0], gids=found[1])


def _find_user(name: str) -> tuple[str, ...]:
    """Return name and number of a user."""
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        what = f"Uid {name} has no entry in /etc/passwd" if name.isdigit() else f'Error during "{name}" username lookup: no such user'
        raise InvalidParameter(what, hint="--userns-remap takes USER[:GROUP] or UID:GID; `default` needs no user") from None
    if user.pw_uid == 0:
        raise InvalidParameter("remap users: root cannot be remapped with itself", hint="leave --userns-remap out")
    return user.pw_name, str(user.pw_uid)


def _find_group(name: str) -> tuple[str, ...]:
    """Return name and number of a group; a user without a group of that name has none."""
    try:
        group = grp.getgrgid(int(name)) if name.isdigit() else grp.getgrnam(name)
    except KeyError:
        what = f"Gid {name} has no entry in /etc/group" if name.isdigit() else f'Error during "{name}" groupname lookup: no such group'
        raise InvalidParameter(what, hint="--userns-remap takes USER[:GROUP] or UID:GID") from None
    return group.gr_name, str(group.gr_gid)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _reserve(path: Path) -> None:
    """Add a range for the default user that nobody has; Docker has useradd(8) do so."""
    text = _read(path)
    if parse_subids(text, (DEFAULT_USER,)):
        return
    line = f"{DEFAULT_USER}:{find_free_start(text)}:{SUBIDS}\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line if not text or text.endswith("\n") else f"\n{line}")
    except OSError as error:
        raise HostError(f"reserve numbers for `{DEFAULT_USER}` in `{path}`: {error.strerror}", hint=f"add the line `{line.strip()}`") from error


def make_remapped_root(data_root: Path, ids: IdMap) -> Path:
    """Return the data root for this map, below the common one: images unpacked for one map are of no use to another.

    The directory is root's own, and the remapped root may only pass through it (CVE-2021-21284).
    """
    uid, gid = ids.root
    directory = data_root / f"{uid}.{gid}"
    directory.mkdir(mode=0o710, parents=True, exist_ok=True)
    os.chown(directory, 0, gid)
    directory.chmod(0o710)
    return directory


def chown_tree(directory: Path, owner: tuple[int, int]) -> None:
    """Give a directory and all that is in it to *owner*, following nothing."""
    for _path, names, files, fd in os.fwalk(directory):
        os.fchown(fd, *owner)
        for name in (*names, *files):
            os.chown(name, *owner, dir_fd=fd, follow_symlinks=False)
