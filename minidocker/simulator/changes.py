"""What a step changed: two states of a machine, compared.

Pure. A state is laid out as facts, a name and a value each; a change is a fact that came, went or became another. Chapter 16.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator

from minidocker.kernel.flags import Clone
from minidocker.simulator.cgroups import read_group
from minidocker.simulator.linux import DIRECTORY, Linux, Net, NodeKind, Process
from minidocker.simulator.processes import read_sysctls
from minidocker.simulator.views import list_mounts, render_addresses, render_limits, render_routes, render_status

__all__ = ["describe_changes"]

_WORDS = {
    Clone.NEWNS: "mnt", Clone.NEWUTS: "uts", Clone.NEWIPC: "ipc", Clone.NEWPID: "pid", Clone.NEWNET: "net", Clone.NEWCGROUP: "cgroup",
    Clone.NEWUSER: "user", Clone.NEWTIME: "time",
}  # fmt: skip


def describe_changes(before: Linux, after: Linux, pid: int) -> list[str]:
    """Return one line for each fact that is another (`~`), gone (`-`) or new (`+`), as process *pid* sees the machine."""
    if pid not in before.processes:
        process = after.processes[pid]
        numbers = ", ".join(f"{number} in pid namespace [{namespace}]" for namespace, number in process.numbers)
        return [f"+ process {process.name}, child of {process.parent}: {numbers}"]
    old, new = dict(_facts(before, pid)), dict(_facts(after, pid))
    shared = before.file_systems.keys() & after.file_systems.keys()  # a new one brings its files along
    old |= _facts_of_files(before, shared)
    new |= _facts_of_files(after, shared)
    changed = [f"~ {name}: {old[name]} -> {value}" for name, value in new.items() if name in old and old[name] != value]
    gone = [f"- {name}: {value}" for name, value in old.items() if name not in new]
    return changed + gone + [f"+ {name}: {value}" for name, value in new.items() if name not in old]


def _facts(linux: Linux, pid: int) -> Iterator[tuple[str, str]]:
    """Yield what there is to see, by name."""
    process = linux.processes[pid]
    yield from _facts_of_process(linux, process)
    for m in list_mounts(linux, pid):
        propagation = f" {' '.join(m.propagation)}" if m.propagation else ""
        shown = f" {m.root}" if m.root != "/" else ""
        yield f"mount {m.mount_point}", f"{m.fstype}{shown} {','.join(m.options)}{propagation}"
    yield from _facts_of_groups(linux)
    for number, namespace in linux.namespaces.items():
        if isinstance(namespace, Net):
            yield from _facts_of_network(linux, number)
    for name, value in read_sysctls(linux, pid).items():
        yield f"parameter {name}", value


def _facts_of_process(linux: Linux, process: Process) -> Iterator[tuple[str, str]]:
    for kind, number in process.namespaces.items():
        yield f"process namespace {_WORDS[kind]}", f"[{number}]"
    yield "process namespace pid for children", f"[{process.children_pid_namespace}]"
    for line in render_status(linux, process.pid).splitlines():
        name, _, value = line.partition(":\t")
        yield f"process {name}", value.replace("\t", " ")
    for line in render_limits(linux, process.pid).splitlines()[1:]:
        yield f"limit {line[:25].strip()}", " ".join(line[25:].split())
    yield "process oom_score_adj", str(process.oom_score_adj)
    yield "working directory", process.cwd.path
    for number, path in process.groups.items():
        yield f"process control group {number}", path
    uts = linux.namespaces[process.namespaces[Clone.NEWUTS]]
    yield "hostname", getattr(uts, "hostname", "")


def _facts_of_groups(linux: Linux) -> Iterator[tuple[str, str]]:
    for tree in linux.file_systems.values():
        for path, node in tree.files.items() if tree.hierarchy >= 0 else ():
            if node == DIRECTORY:
                yield f"control group {path}", "" if tree.hierarchy == 0 else ",".join(tree.controllers)
                for name, text in read_group(tree, path).items():
                    if text:
                        yield f"{posixpath.join(path, name)} ({tree.hierarchy})", ", ".join(text.splitlines())


def _facts_of_network(linux: Linux, number: int) -> Iterator[tuple[str, str]]:
    pid = next((p.pid for p in linux.processes.values() if p.namespaces[Clone.NEWNET] == number), 0)
    if not pid:
        return
    net, link = f"net [{number}]", ""
    for line in render_addresses(linux, pid).splitlines():
        if not line.startswith(" "):
            link = line.split(": ")[1]
            yield f"{net} link {link}", line.split(": ", 2)[2]
        elif "inet" in line:
            yield f"{net} address {line.split()[1]}", f"on {link}"
    for line in render_routes(linux, pid).splitlines():
        yield f"{net} route {line.split()[0]}", line.partition(" ")[2]


def _facts_of_files(linux: Linux, file_systems: Collection[int]) -> dict[str, str]:
    """Return the files of *file_systems*, but for control groups, which have facts of their own."""
    words = {NodeKind.DIRECTORY: "directory", NodeKind.FILE: "file"}
    trees = [linux.file_systems[number] for number in file_systems]
    return {
        f"file {path} of {tree.fstype} {tree.device}": words.get(node.kind, f"{'->' if node.kind == NodeKind.SYMLINK else node.kind} {node.content}")
        for tree in trees if tree.hierarchy < 0
        for path, node in tree.files.items()
    }  # fmt: skip
