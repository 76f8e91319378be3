"""Propagation: a mount that appears here also appears there.

Pure. Mounts that are copies of each other can form a **peer group**: what is mounted or unmounted below one of them is so below
all. A **slave** receives from its master group and sends nothing. A private mount does neither. systemd makes everything shared,
which is why a container's first mount step cuts the ties. The kernel keeps lists of peers and slaves; here a mount carries two
numbers, `peer_group` and `master`, and the lists are computed.

See mount_namespaces(7) and `Documentation/filesystems/sharedsubtree.rst` of the kernel. Chapter 16.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from minidocker.kernel.flags import Ms
from minidocker.simulator.files import is_under, mount_at
from minidocker.simulator.linux import Linux, Mount, Place, fail

__all__ = ["DETACHED", "attach", "change_propagation", "children_of", "copy_tree", "detach", "is_in_use", "subtree"]

DETACHED = 0
"""The namespace of a mount that is in none: not attached yet, or only kept alive by a process that stands in it."""


def children_of(linux: Linux, mount: int) -> list[Mount]:
    """Return the mounts on *mount*, in the order in which they were attached."""
    return [m for m in linux.mounts.values() if m.parent == mount and m.id != mount]


def subtree(linux: Linux, mount: int) -> list[Mount]:
    """Return *mount* and everything below it, each before what lies on it."""
    return [linux.mounts[mount], *(m for child in children_of(linux, mount) for m in subtree(linux, child.id))]


def copy_tree(linux: Linux, top: int, root: str, *, recursive: bool = True, unbindable: bool = False) -> tuple[Linux, int]:
    """Copy a mount, shown from *root*, and what is mounted below; return the top of the copy, which is not attached yet.

    A copy of a shared mount joins its peer group, a copy of a slave is a slave of the same master: that is how peers arise. What
    may not be bound is left out, unless *unbindable* says that a whole namespace is copied.
    """
    originals = [linux.mounts[top]]
    for child in children_of(linux, top) if recursive else ():
        if is_under(child.mount_point, root):
            originals += _bindable(linux, subtree(linux, child.id), all_of_it=unbindable)
    numbers: dict[int, int] = {}
    for original in originals:
        linux, number = linux.new_id()
        numbers[original.id] = number
        parent = numbers.get(original.parent, number) if original.id != top else number
        linux = linux.with_mounts(replace(original, id=number, parent=parent, namespace=DETACHED))
    return linux.with_mounts(replace(linux.mounts[numbers[top]], root=root, mount_point="/")), numbers[top]


def _bindable(linux: Linux, tree: Sequence[Mount], *, all_of_it: bool) -> list[Mount]:
    left_out = {m.id for top in tree if top.unbindable and not all_of_it for m in subtree(linux, top.id)}
    return [m for m in tree if m.id not in left_out]


def attach(linux: Linux, tree: int, place: Place) -> Linux:
    """Attach the mounts below *tree* at *place*, and copies of them wherever the mount there sends its changes to.

    What comes to lie on a shared mount becomes shared. Copies for peers are its peers; copies for slaves are its slaves, and
    shared among themselves if those slaves are.
    """
    group = linux.mounts[place.mount].peer_group
    copies: list[tuple[int, Place]] = []
    if group:
        linux = _share(linux, subtree(linux, tree))
        linux, copies = _copy_to_peers(linux, group, tree, place)
    for number, where in [(tree, place), *copies]:
        linux = _hang(linux, number, where)
    return linux


def _copy_to_peers(linux: Linux, group: int, model: int, place: Place) -> tuple[Linux, list[tuple[int, Place]]]:
    """Return copies of *model* for the members of *group* besides the one at *place*, and for their slaves."""
    copies = []
    for peer in _members(linux, group):
        if peer.id != place.mount and is_under(place.path, peer.root):
            linux, copy = copy_tree(linux, model, linux.mounts[model].root, unbindable=True)
            copies.append((copy, Place(mount=peer.id, path=place.path)))
    linux, further = _copy_to_slaves(linux, group, model, place.path)
    return linux, copies + further


def _copy_to_slaves(linux: Linux, group: int, model: int, path: str) -> tuple[Linux, list[tuple[int, Place]]]:
    copies: list[tuple[int, Place]] = []
    further: list[tuple[int, Place]] = []
    for team_group, team in _slave_teams(linux, group):
        first = next((m for m in team if is_under(path, m.root)), None)
        if first is not None:
            linux, copy = copy_tree(linux, model, linux.mounts[model].root, unbindable=True)
            masters = [m.peer_group for m in subtree(linux, model)]
            slaves = zip(masters, subtree(linux, copy), strict=True)
            linux = linux.with_mounts(*(replace(m, peer_group=0, master=master) for master, m in slaves))
            copies.append((copy, Place(mount=first.id, path=path)))
        if first is not None and team_group:
            linux = _share(linux, subtree(linux, copy))
            linux, further = _copy_to_peers(linux, team_group, copy, copies[-1][1])
        elif team_group:
            linux, further = _copy_to_slaves(linux, team_group, model, path)
        copies += further
        further = []
    return linux, copies


def _members(linux: Linux, group: int) -> list[Mount]:
    return [m for m in linux.mounts.values() if group and m.peer_group == group and m.namespace != DETACHED]


def _slave_teams(linux: Linux, group: int) -> Iterator[tuple[int, list[Mount]]]:
    """Yield the slaves of *group*: those that are peers of each other together, the others alone."""
    slaves = [m for m in linux.mounts.values() if m.master == group and m.namespace != DETACHED]
    for team_group in dict.fromkeys(m.peer_group for m in slaves if m.peer_group):
        yield team_group, [m for m in slaves if m.peer_group == team_group]
    for slave in slaves:
        if not slave.peer_group:
            yield 0, [slave]


def _hang(linux: Linux, tree: int, place: Place) -> Linux:
    """Attach without propagation; what lies at the place already comes to lie on top."""
    over, namespace = mount_at(linux, place), linux.mounts[place.mount].namespace
    mounts = dict(linux.mounts)
    mount = replace(mounts.pop(tree), parent=place.mount, mount_point=place.path)  # the last child of its new parent
    linux = replace(linux, mounts={**mounts, tree: mount})
    linux = linux.with_mounts(*(replace(m, namespace=namespace) for m in subtree(linux, tree)))
    return linux.with_mounts(replace(over, parent=tree, mount_point=mount.root)) if over else linux


def _share(linux: Linux, mounts: Iterable[Mount]) -> Linux:
    """Make each mount the first of a peer group of its own, unless it is in one."""
    for mount in mounts:
        if not mount.peer_group:
            linux, group = linux.new_id()
            linux = linux.with_mounts(replace(mount, peer_group=group, unbindable=False))
    return linux


def change_propagation(linux: Linux, mounts: Iterable[Mount], kind: Ms) -> Linux:
    """Change what *mounts* send and receive: SHARED, PRIVATE, SLAVE or UNBINDABLE."""
    for mount in mounts:
        if kind is Ms.SHARED:
            linux = _share(linux, [mount])
            continue
        linux = _leave_group(linux, mount)
        left = linux.mounts[mount.id]
        if kind is not Ms.SLAVE:  # being a slave says nothing of being bound
            linux = linux.with_mounts(replace(left, master=0, unbindable=kind is Ms.UNBINDABLE))
    return linux


def _leave_group(linux: Linux, mount: Mount) -> Linux:
    """Take a mount out of its peer group, as a slave of those who stay. The last one leaves its slaves to its own master."""
    group = mount.peer_group
    if not group:
        return linux
    if any(m.peer_group == group and m.id != mount.id for m in linux.mounts.values()):
        return linux.with_mounts(replace(mount, peer_group=0, master=group))
    orphans = (replace(m, master=mount.master) for m in linux.mounts.values() if m.master == group)
    return linux.with_mounts(replace(mount, peer_group=0), *orphans)


def detach(linux: Linux, mount: int) -> Linux:
    """Take a mount and everything below it away, here and wherever that is sent to.

    Elsewhere a mount stays if something else lies in it. Whoever stands in a mount keeps it alive, without a name.
    """
    gone = [m.id for m in subtree(linux, mount)]
    gone += _find_echoes(linux, gone)
    for number in gone:
        linux = _leave_group(linux, linux.mounts[number])
    for number in gone:
        for over in children_of(linux, number):  # lies on a mount that goes, but was not sent away itself
            if over.id not in gone:
                linux = linux.with_mounts(replace(over, parent=linux.mounts[number].parent, mount_point=linux.mounts[number].mount_point))
    kept = [replace(linux.mounts[n], parent=n, namespace=DETACHED, master=0) for n in gone if is_in_use(linux, n)]
    mounts = {number: m for number, m in linux.mounts.items() if number not in gone}
    return replace(linux, mounts=mounts).with_mounts(*kept)


def _find_echoes(linux: Linux, gone: Sequence[int]) -> list[int]:
    """Return the mounts that go because the mounts in *gone* do: at the same place of a mount that receives, and empty."""
    echoes: dict[int, None] = {}
    for number in gone:
        mount = linux.mounts[number]
        for receiver in _receivers(linux, linux.mounts[mount.parent].peer_group):
            echo = mount_at(linux, Place(mount=receiver, path=mount.mount_point))
            if echo is not None and echo.id not in gone:
                echoes[echo.id] = None
    while blocked := [n for n in echoes if _is_blocked(linux, n, {*gone, *echoes})]:
        for number in blocked:
            del echoes[number]
    return list(echoes)


def _is_blocked(linux: Linux, mount: int, going: Collection[int]) -> bool:
    root = linux.mounts[mount].root
    return any(m.id not in going and m.mount_point != root for m in children_of(linux, mount))


def _receivers(linux: Linux, group: int) -> list[int]:
    """Return every mount that changes below a member of *group* are sent to."""
    if not group:
        return []
    found = [m.id for m in _members(linux, group)]
    for team_group, team in _slave_teams(linux, group):
        found += _receivers(linux, team_group) if team_group else [m.id for m in team]
    return found


def is_in_use(linux: Linux, mount: int) -> bool:
    """Return whether a process has its root or working directory there."""
    return any(mount in (p.root.mount, p.cwd.mount) for p in linux.processes.values())


def require_one_propagation(flags: Ms) -> Ms:
    """Return the only flag of propagation in *flags*.

    Raises:
        OSError: EINVAL, mount(2): more than one.
    """
    kinds = [kind for kind in (Ms.SHARED, Ms.PRIVATE, Ms.SLAVE, Ms.UNBINDABLE) if flags & kind]
    if len(kinds) != 1 or flags & ~(kinds[0] | Ms.REC | Ms.SILENT):
        raise fail(errno.EINVAL, "one kind of propagation at a time, and nothing else")
    return kinds[0]
