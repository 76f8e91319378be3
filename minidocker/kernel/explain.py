"""A person reads the steps: what, why, and where it is taught.

Pure. `describe_step` says each step in the words of its system call; `explain_steps` lays a plan out as a table for
`run --explain`. The chapter of a step is its package's. See `minidocker.kernel.steps`. Chapter 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from minidocker.codec.idmap import render_id_map
from minidocker.kernel.flags import describe_flags
from minidocker.kernel.steps import (
    Actor, AddAddress, AddRoute, BindDevice, CreateVeth, DropCapabilities, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join, JoinCgroup, LimitDevices, LoadSeccomp,
    MakeCgroup, MakeConsole, MakeDevice, MakeDirectory, MakeSymlink, MaskPath, Mount, NoNewPrivileges, PivotRoot,
    PopulateVolume, ReadonlyPath, RemoveLink, ServeNames, SetClockOffset, SetHostname, SetLinkUp, SetLoopbackUp, SetOomScore, SetRlimit, SetUser, Step,
    Synchronise, Unshare, WriteCgroup, WriteSysctl, actor_of,
)  # fmt: skip

__all__ = ["Explanation", "describe_step", "explain_steps"]

INSTRUCTION_BYTES = 8
"""Size of one instruction of a filter program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One step for a reader."""

    what: str
    """The call with its arguments."""
    chapter: str
    """Directory below `chapters/`."""


NAMESPACES, CGROUPS, NETWORK, SECURITY = (
    "namespaces", "cgroups", "networking", "security",
)  # fmt: skip


def describe_step(step: Step) -> Explanation:
    """Return what *step* does, and the chapter that teaches it."""
    match step:
        case MakeCgroup():
            return Explanation(what=f"mkdir {step.path}", chapter=CGROUPS)
        case WriteCgroup():
            return Explanation(what=f"write {step.value!r} > {step.path}", chapter=CGROUPS)
        case JoinCgroup():
            return Explanation(what=f"write '0' > {step.path}/cgroup.procs", chapter=CGROUPS)
        case LimitDevices():
            return Explanation(what=f"bpf(attach device program to {step.path}, {len(step.rules)} rules)", chapter=CGROUPS)
        case ForkInit():
            return Explanation(what="fork()", chapter=NAMESPACES)
        case Unshare():
            return Explanation(what=f"unshare({describe_flags(step.namespaces)})", chapter=NAMESPACES)
        case Join():
            whose = step.path or f"pidfd of {step.pid}"
            return Explanation(what=f"setns({whose}, {describe_flags(step.namespaces)})", chapter=NAMESPACES)
        case EnterUserNamespace():
            return Explanation(what=_describe_user_namespace(step), chapter=NAMESPACES)
        case ForkAgain():
            return Explanation(what="fork(), the parent ends", chapter=NAMESPACES)
        case SetClockOffset():
            return Explanation(what=f"write '{step.clock} {step.seconds} {step.nanoseconds}' > /proc/self/timens_offsets", chapter=NAMESPACES)
        case CreateVeth():
            isolated = ", isolated" if step.isolated else ""
            return Explanation(what=f"link {step.host_name} on {step.bridge} <-> {step.container_name}{isolated}", chapter=NETWORK)
        case AddAddress():
            return Explanation(what=f"address {step.address} on {step.link}", chapter=NETWORK)
        case SetLinkUp():
            return Explanation(what=f"link {step.link} up", chapter=NETWORK)
        case SetLoopbackUp():
            return Explanation(what="link lo up", chapter=NETWORK)
        case AddRoute():
            return Explanation(what=f"route {step.destination or 'default'} via {step.gateway}", chapter=NETWORK)
        case RemoveLink():
            return Explanation(what=f"remove link {step.link}", chapter=NETWORK)
        case ServeNames():
            return Explanation(what=f"listen on {step.address}, redirect its port 53", chapter=NETWORK)
        case SetHostname():
            return Explanation(what=f"sethostname({step.hostname!r})", chapter=NAMESPACES)
        case Mount():
            return Explanation(what=_describe_mount(step), chapter=NAMESPACES)
        case MakeDirectory():
            return Explanation(what=f"mkdir -p {step.path}", chapter=NAMESPACES)
        case PopulateVolume():
            return Explanation(what=f"copy {step.path} -> {step.volume}, if that is empty", chapter=NAMESPACES)
        case MakeDevice():
            return Explanation(what=f"mknod {step.path} {step.type} {step.major} {step.minor}", chapter=NAMESPACES)
        case BindDevice():
            return Explanation(what=f"mount({step.host_path}, {step.path}, BIND)", chapter=NAMESPACES)
        case MakeSymlink():
            return Explanation(what=f"symlink {step.path} -> {step.target}", chapter=NAMESPACES)
        case PivotRoot():
            return Explanation(what=f"{'move' if step.move else 'pivot'}_root({step.root}){', read-only' if step.readonly else ''}", chapter=NAMESPACES)
        case MakeConsole():
            return Explanation(what="open /dev/pts/ptmx, TIOCGPTPEER, TIOCSCTTY", chapter=NAMESPACES)
        case WriteSysctl():
            return Explanation(what=f"write {step.value!r} > /proc/sys/{step.name.replace('.', '/')}", chapter=NAMESPACES)
        case ReadonlyPath():
            return Explanation(what=f"mount({step.path}, BIND), remount RDONLY", chapter=SECURITY)
        case MaskPath():
            return Explanation(what=f"mount over {step.path}", chapter=SECURITY)
        case SetRlimit():
            return Explanation(what=f"{'pr' if step.actor is Actor.MONITOR else 'setr'}limit({step.resource.name}, {step.soft}, {step.hard})", chapter=SECURITY)
        case SetOomScore():
            return Explanation(what=f"write '{step.score}' > /proc/self/oom_score_adj", chapter=CGROUPS)
        case Synchronise():
            return Explanation(what="monitor <-> init", chapter=NAMESPACES)
        case NoNewPrivileges():
            return Explanation(what="prctl(PR_SET_NO_NEW_PRIVS)", chapter=SECURITY)
        case LoadSeccomp():
            size = len(step.program) // INSTRUCTION_BYTES
            return Explanation(what=f"seccomp({step.profile} profile, {size} instructions)", chapter=SECURITY)
        case DropCapabilities():
            return Explanation(what=f"drop all capabilities but {_describe_capabilities(step.keep)}", chapter=SECURITY)
        case SetUser():
            return Explanation(what=f"setgroups, setgid, setuid, capset for {step.user or 'root'}", chapter=SECURITY)
        case Exec():
            return Explanation(what=f"execve({' '.join(step.argv)})", chapter=NAMESPACES)
        case _:
            assert_never(step)


def _describe_user_namespace(step: EnterUserNamespace) -> str:
    if step.pid or step.path:
        return f"setns({step.path or f'pidfd of {step.pid}'}, NEWUSER), setgroups(), setresgid(0), setresuid(0)"
    lines = "; ".join(render_id_map(step.uid_map).splitlines())
    return f"unshare(NEWUSER), uid_map `{lines}`, setgroups(), setresgid(0), setresuid(0)"


def _describe_mount(step: Mount) -> str:
    words = [step.source or "none", step.target, *([step.fstype] if step.fstype else [])]
    if step.flags:
        words.append(describe_flags(step.flags))
    if step.data:
        words.append(repr(step.data if len(step.data) <= 60 else step.data[:57] + "..."))
    return f"mount({', '.join(words)})"


def _describe_capabilities(names: Sequence[str]) -> str:
    return " ".join(name.removeprefix("CAP_") for name in names) or "none"


def explain_steps(steps: Sequence[Step]) -> str:
    """Return the plan as text: number, who, what, then why and the chapter on a line of their own."""
    lines = []
    for number, step in enumerate(steps, 1):
        explanation = describe_step(step)
        lines.append(f"{number:3}  {actor_of(step):8} {explanation.what}")
        if step.why:
            lines.append(f"{'':14}{step.why}  [{explanation.chapter}]")
    return "\n".join(lines) + "\n"
