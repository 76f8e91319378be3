"""A person performs the steps: the plan as a shell script, for `--explain=shell`.

Pure. The script makes the same container by hand, as root, with the tools of a usual Linux: unshare, nsenter, mount, setpriv and
prlimit of util-linux, ip of iproute2, and a static busybox, because after pivot_root the host's tools have no name any more.
It runs itself again for each process of the plan, since a shell cannot unshare itself, only a program that it starts. What no tool
can do is a comment: a filter of system calls, a device program, a terminal of the container's own.

One difference is not: paths below the new root are plain paths here, so that a hostile image could lead a mount astray by a link.
See unshare(1), mount(8), setpriv(1), ip(8). Chapter 16.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from minidocker.codec.idmap import render_id_map
from minidocker.kernel.flags import Clone, Ms
from minidocker.kernel.steps import (
    Actor, AddAddress, AddRoute, BindDevice, CreateVeth, DropCapabilities, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join, JoinCgroup, LimitDevices, LoadSeccomp,
    MakeCgroup, MakeConsole, MakeDevice, MakeDirectory, MakeSymlink, MaskPath, Mount, NoNewPrivileges, PivotRoot,
    PopulateVolume, ReadonlyPath, RemoveLink, ServeNames, SetClockOffset, SetHostname, SetLinkUp, SetLoopbackUp, SetOomScore, SetRlimit, SetUser, Step,
    Synchronise, Unshare, WriteCgroup, WriteSysctl, actor_of,
)  # fmt: skip

__all__ = ["render_shell"]

_OPTIONS: Final = {
    Clone.NEWNS: "--mount --propagation unchanged", Clone.NEWUTS: "--uts", Clone.NEWIPC: "--ipc", Clone.NEWNET: "--net",
    Clone.NEWPID: "--pid", Clone.NEWCGROUP: "--cgroup", Clone.NEWUSER: "--user", Clone.NEWTIME: "--time",
}  # fmt: skip
_MOUNT_WORDS: Final = {
    Ms.RDONLY: "ro", Ms.NOSUID: "nosuid", Ms.NODEV: "nodev", Ms.NOEXEC: "noexec", Ms.NOATIME: "noatime", Ms.STRICTATIME: "strictatime",
}  # fmt: skip
_KINDS: Final = {Ms.PRIVATE: "private", Ms.SLAVE: "slave", Ms.SHARED: "shared", Ms.UNBINDABLE: "unbindable"}

_LENT: Final = ("sys_admin", "dac_override")
"""Privileges of the last stage, which takes the old root off and removes itself."""

_HEADER: Final = r"""#!/bin/sh
# This container by hand. Needs root, util-linux, iproute2 and a static busybox. Run it as a file: it starts itself again.
set -eu
umask 022
stage=${1-monitor}
"""
_FUNCTIONS: Final = r"""
# The group files of v1 cpusets start empty, and a group without processors takes no process.
make_group() { # directory, files to take from the parent
    [ -d "$1" ] || { mkdir "$1"; for file in ${2-}; do cat "${1%/*}/$file" > "$1/$file"; done; }
}
make_file() { [ -e "$1" ] || { mkdir -p "${1%/*}"; : > "$1"; }; }
mask() { # a directory under an empty tmpfs, a file under /dev/null
    if [ -d "$1" ]; then mount -t tmpfs -o ro,nr_blocks=1,nr_inodes=1 tmpfs "$1"
    elif [ -e "$1" ]; then mount --bind "$root/dev/null" "$1"; fi
}
read_only() { if [ -e "$1" ]; then mount --rbind "$1" "$1"; mount -o "remount,bind,ro" "$1"; fi; }
find_id() { # file, name or number, field: look it up in the container's own /etc
    case $2 in *[!0-9]*) awk -F: -v name="$2" -v field="$3" '$1 == name { print $field; exit }' "$root$1" ;; *) echo "$2" ;; esac
}
groups_of() { # user, group: as numbers, with commas
    awk -F: -v user="$1" -v ids="$2" '{ n = split($4, m, ","); for (i = 1; i <= n; i++) if (m[i] == user) ids = ids "," $3 }
        END { print ids }' "$root/etc/group"
}
"""


def render_shell(steps: Sequence[Step]) -> str:
    """Return the script for *steps*, each with its reason."""
    monitor = [step for step in steps if actor_of(step) is Actor.MONITOR]
    init = [step for step in steps if actor_of(step) is Actor.INIT]
    root = next((step.root for step in init if isinstance(step, PivotRoot)), "")
    lines = [_HEADER, f"root={shlex.quote(root)}", _FUNCTIONS, "case $stage in", "monitor)"]
    users = next((step for step in init if isinstance(step, EnterUserNamespace) and not (step.pid or step.path)), None)
    entered = any(isinstance(step, EnterUserNamespace) for step in init)
    names = next((step for step in init if isinstance(step, SetHostname) and entered), None)
    lines += _indent(_monitor_lines(monitor, users, names))
    last = next((step for step in reversed(init) if isinstance(step, Unshare) and step.namespaces & Clone.NEWNS), None)
    stage, body = 1, ["init-1)"]
    for step in init:
        if isinstance(step, Unshare | Join | EnterUserNamespace):
            stage += 1
            body += _indent([*_reason(step), _enter(step, f"init-{stage}")])
            body += ["\t;;", f"init-{stage})"]
            if step is users:
                body += _indent([*_AWAIT_MAP.splitlines(), f'exec setpriv --inh-caps -all --ambient-caps -all --reuid 0 --regid 0 --clear-groups sh "$0" init-{stage + 1}'])
                stage += 1
                body += ["\t;;", f"init-{stage})"]
            if step is last:
                body += _indent(_ANNOUNCE.splitlines())
            continue
        body += _indent([*_reason(step), *_init_lines(step, init)])
    return "\n".join([*lines, "\t;;", *body, "\t;;", "esac"]) + "\n"


def _indent(lines: Iterator[str] | Sequence[str]) -> list[str]:
    """Indent with tabs, which `<<-` takes off again."""
    return [f"\t{line}" if line else "" for line in lines]


def _reason(step: Step) -> list[str]:
    return ["", *([f"# {step.why}"] if step.why else [])]


_ANNOUNCE: Final = """\
read -r pid rest < /proc/self/stat # of the host's /proc: our number outside
echo "$pid" > "$meeting/namespaces\""""


_AWAIT_MAP: Final = """\
read -r pid rest < /proc/self/stat
echo "$pid" > "$meeting/users"
read -r go < "$meeting/mapped" # until then we are nobody"""


def _map_lines(step: EnterUserNamespace) -> Iterator[str]:
    """Yield how the monitor says who the users in the new namespace are: who is in it may not."""
    yield 'read -r pid < "$meeting/users"'
    for kind, ranges in (("gid_map", step.gid_map), ("uid_map", step.uid_map)):
        words = render_id_map(ranges).rstrip("\n").replace("\n", "\\n")
        yield f"printf '{words}\\n' > /proc/$pid/{kind}"
    yield 'echo go > "$meeting/mapped"'


def _monitor_lines(steps: Sequence[Step], users: EnterUserNamespace | None, names: SetHostname | None) -> Iterator[str]:
    """Yield the monitor's part: groups, birth, users, network; at the end it clears up."""
    groups = [step.path for step in steps if isinstance(step, MakeCgroup)]
    yield "meeting=$(mktemp -d)"
    yield 'mkfifo "$meeting/namespaces" "$meeting/go"'
    if users is not None:
        yield 'mkfifo "$meeting/users" "$meeting/mapped"'
        yield 'chmod 711 "$meeting"; chmod 666 "$meeting"/* # for the new root, who is somebody else outside'
    yield "export meeting"
    removal = "".join(f"; rmdir {shlex.quote(group)} || :" for group in groups)
    end = 'rm -r "$meeting"' + removal
    yield f"trap {shlex.quote(end)} EXIT"
    birth = 'setsid sh "$0" init-1 <&3 3<&- &'
    for step in steps:
        yield from _reason(step)
        match step:
            case Unshare():
                birth = 'unshare --pid --fork --kill-child setsid sh "$0" init-1 <&3 3<&- &'
            case Join():
                where = f"--pid={shlex.quote(step.path)}" if step.path else f"--target {step.pid} --pid"
                birth = f'nsenter {where} setsid sh "$0" init-1 <&3 3<&- &'
            case ForkInit():
                yield "exec 3<&0"
                yield birth
                yield "child=$!"
                yield from () if users is None else _map_lines(users)
                yield 'read -r pid < "$meeting/namespaces"'
                for line in () if names is None else _set_names(names):
                    yield f"nsenter --target $pid --uts sh -c {shlex.quote(line)}"
            case _:
                yield from _monitor_step(step)
    yield ""
    yield 'echo go > "$meeting/go"'
    yield "wait $child && exit 0 || exit $?"


def _monitor_step(step: Step) -> Iterator[str]:
    inside = "nsenter --target $pid --net"
    match step:
        case MakeCgroup():
            yield from _make_cgroup(step)
        case WriteCgroup():
            path, value = shlex.quote(step.path), shlex.quote(step.value)
            yield f"[ ! -e {path} ] || echo {value} > {path}" if step.optional else f"echo {value} > {path}"
        case LimitDevices():
            yield f"# not with a shell: bpf(2) attaches a program to {step.path} that allows {', '.join(step.rules)}"
        case CreateVeth():
            address = f" address {step.mac_address}" if step.mac_address else ""
            mtu = f" mtu {step.mtu}" if step.mtu else ""
            yield f"ip link add {step.host_name}{mtu} type veth peer name {step.container_name}{address}{mtu} netns $pid"
            yield f"ip link set {step.host_name} master {step.bridge} up"
            if step.isolated:
                yield f"bridge link set dev {step.host_name} isolated on"
        case AddAddress():
            broadcast = "" if ":" in step.address else " broadcast +"
            yield f"{inside} ip address add {step.address}{broadcast} dev {step.link}"
        case SetLinkUp():
            if not step.ipv6:
                yield f"{inside} ip link set {step.link} addrgenmode none"
            yield f"{inside} ip link set {step.link} up"
        case AddRoute():
            family = " -6" if ":" in step.gateway else ""
            yield f"{inside} ip{family} route add {step.destination or 'default'} via {step.gateway}"
        case RemoveLink():
            yield f"ip link delete {step.link}"
        case SetRlimit():
            yield _set_limit(step, "$pid")
        case SetClockOffset():
            yield _set_clock(step)
        case ServeNames():
            yield f"# not with a shell: a name service on {step.address}"
        case _:
            raise AssertionError(f"{type(step).__name__} is a step of init")


def _make_cgroup(step: MakeCgroup) -> Iterator[str]:
    parent = step.root
    for name in step.path.removeprefix(f"{step.root}/").split("/"):
        for controller in step.controllers:
            yield f"echo +{controller} > {shlex.quote(parent)}/cgroup.subtree_control || :"
        parent = f"{parent}/{name}"
        files = f" {shlex.quote(' '.join(step.inherit))}" if step.inherit else ""
        yield f"make_group {shlex.quote(parent)}{files}"


def _set_limit(step: SetRlimit, pid: str) -> str:
    limit = ":".join("unlimited" if n == -1 else str(n) for n in (step.soft, step.hard))
    return f"prlimit --pid {pid} --{step.resource.name.lower()}={limit}"


def _set_clock(step: SetClockOffset) -> str:
    return f"echo {step.clock} {step.seconds} {step.nanoseconds} > /proc/self/timens_offsets # with the shell itself, which has not forked yet"


def _enter(step: Unshare | Join | EnterUserNamespace, stage: str) -> str:
    if isinstance(step, EnterUserNamespace):
        if step.pid or step.path:
            whose = f"--user={shlex.quote(step.path)}" if step.path else f"--target {step.pid} --user"
            return f'exec nsenter {whose} --setuid 0 --setgid 0 sh "$0" {stage}'
        return f'exec unshare --user --keep-caps sh "$0" {stage}'
    words = [option for kind, option in _OPTIONS.items() if step.namespaces & kind]
    if isinstance(step, Join):
        options = [word.partition(" ")[0] for word in words]
        where = [f"{o}={shlex.quote(step.path)}" for o in options] if step.path else [f"--target {step.pid}", *options]
        return f'exec nsenter {" ".join(where)} sh "$0" {stage}'
    forks = ["--fork", "--kill-child", "setsid"] if step.namespaces & Clone.NEWPID else []
    return f'exec unshare {" ".join([*words, *forks])} sh "$0" {stage}'


def _inside(path: str) -> str:
    """Return a path below the new root as a word of the shell."""
    return '"$root"' + (shlex.quote(path) if path != "/" else "/")


def _init_lines(step: Step, steps: Sequence[Step]) -> Iterator[str]:
    match step:
        case JoinCgroup():
            yield f"echo 0 > {shlex.quote(step.path)}/cgroup.procs"
        case SetClockOffset():
            yield _set_clock(step)
        case SetHostname():
            if any(isinstance(other, EnterUserNamespace) for other in steps):
                yield "# the monitor does it from outside: the files below /proc/sys/kernel are root's of the host"
            else:
                yield from _set_names(step)
        case SetLoopbackUp():
            yield "ip link set lo up"
        case Mount():
            yield from _mount(step)
        case MakeDirectory():
            yield f"mkdir -p {_inside(step.path)}"
        case PopulateVolume():
            volume = shlex.quote(step.volume)
            yield f'[ -n "$(ls -A {volume})" ] || [ ! -d {_inside(step.path)} ] || cp -a {_inside(step.path)}/. {volume}'
        case MakeDevice():
            yield f"mkdir -p {_inside(posixpath.dirname(step.path))}"
            yield f"mknod -m {step.mode:o} {_inside(step.path)} {step.type} {step.major} {step.minor}"
        case BindDevice():
            yield f"make_file {_inside(step.path)}"
            yield f"mount --bind {shlex.quote(step.host_path)} {_inside(step.path)}"
        case MakeSymlink():
            path = _inside(step.path)
            yield f"[ -e {path} ] || [ -L {path} ] || ln -s {shlex.quote(step.target)} {path}"
        case PivotRoot():
            yield "# further down: everything before needs the host's tools"
        case MakeConsole():
            yield "# not with a shell: open /dev/pts/ptmx, bind its other end on /dev/console and make it our terminal"
        case WriteSysctl():
            yield f"echo {shlex.quote(step.value)} > /proc/sys/{step.name.replace('.', '/')}"
        case ReadonlyPath():
            yield f"read_only {_inside(step.path)}"
        case MaskPath():
            yield f"mask {_inside(step.path)}"
        case SetRlimit():
            yield _set_limit(step, "$$")
        case SetOomScore():
            yield f"echo {step.score} > /proc/self/oom_score_adj"
        case ForkAgain():
            yield "# unshare has forked: process 1 is here"
        case Synchronise():
            yield 'read -r go < "$meeting/go"'
        case LoadSeccomp():
            yield f"# not with a shell: seccomp(2) with the {step.profile} profile"
        case NoNewPrivileges() | DropCapabilities():
            yield "# an option of setpriv below"
        case SetUser():
            yield from _identity(step)
        case Exec():
            yield from _execute(step, steps)
        case MakeCgroup() | WriteCgroup() | LimitDevices() | ForkInit() | CreateVeth() | AddAddress() | SetLinkUp() | AddRoute() | RemoveLink() | ServeNames():
            raise AssertionError(f"{type(step).__name__} is a step of the monitor")
        case Unshare() | Join() | EnterUserNamespace():
            raise AssertionError("starts a stage of its own")
        case _:
            assert_never(step)


def _set_names(step: SetHostname) -> Iterator[str]:
    for kind, name in (("hostname", step.hostname), ("domainname", step.domainname)):
        if name:
            yield f"echo {shlex.quote(name)} > /proc/sys/kernel/{kind}"


def _mount(step: Mount) -> Iterator[str]:
    recursive = "r" if step.flags & Ms.REC else ""
    kind = next((word for flag, word in _KINDS.items() if step.flags & flag), "")
    target = shlex.quote(step.target) if step.host_target else _inside(step.target)
    options = [word for flag, word in _MOUNT_WORDS.items() if step.flags & flag]
    if step.create:
        yield f"{'mkdir -p' if step.create == 'dir' else 'make_file'} {target}"
    if step.flags & Ms.REMOUNT:
        yield f"mount -o {','.join(['remount', 'bind', *options])} {target}"
    elif step.flags & Ms.BIND:
        source = shlex.quote(posixpath.join(step.source, step.subpath) if step.subpath else step.source)
        if step.source_pid:
            yield f"# not with these tools: {step.source} of another mount namespace, which open_tree(2) can copy"
            return
        yield f"mount --{recursive}bind {source} {target}"
        if options:
            yield f"mount -o {','.join(['remount', 'bind', *options])} {target}"
        if kind:
            yield f"mount --make-{recursive}{kind} {target}"
    elif kind:
        yield f"mount --make-{recursive}{kind} {target}"
    else:
        words = ",".join([*options, *([step.data] if step.data else [])])
        at = f"cd {shlex.quote(step.cwd)} && " if step.cwd else ""
        optional = " || :" if step.optional else ""
        yield f"{at}mount -t {step.fstype}{f' -o {shlex.quote(words)}' if words else ''} {shlex.quote(step.source)} {target}{optional}"


def _identity(step: SetUser) -> Iterator[str]:
    """Yield the look-ups: `user`, `group` and `groups` as numbers."""
    name, _, group = step.user.partition(":")
    name = name or "0"
    yield f"user=$(find_id /etc/passwd {shlex.quote(name)} 3)"
    if group:
        yield f"group=$(find_id /etc/group {shlex.quote(group)} 3)"
        yield "groups=$group"
    else:
        field = "$1 == name || $3 == name { print $1, $4; exit }"
        yield f"account=$(awk -F: -v name={shlex.quote(name)} '{field}' \"$root/etc/passwd\")"
        yield 'name=${account% *} group=${account#* }'
        yield 'group=${group:-0} groups=$(groups_of "${name:-}" "${group:-0}")'
    yield "home=$(awk -F: -v id=\"$user\" '$3 == id { print $6; exit }' \"$root/etc/passwd\")"
    for extra in step.extra_groups:
        yield f"groups=$groups,$(find_id /etc/group {shlex.quote(extra)} 3)"


def _word(capability: str) -> str:
    return capability.removeprefix("CAP_").lower()


def _execute(step: Exec, steps: Sequence[Step]) -> Iterator[str]:
    """Yield the last stage: it runs in a busybox that lies in the container's own /dev for this one moment."""
    keep = next((s.keep for s in steps if isinstance(s, DropCapabilities)), ())
    capabilities = ",".join(["-all", *(f"+{_word(name)}" for name in keep)])
    lasting = [_word(name) for s in steps if isinstance(s, SetUser) for name in s.ambient]
    promise = " --no-new-privs" if any(isinstance(s, NoNewPrivileges) for s in steps) else ""
    readonly = any(isinstance(s, PivotRoot) and s.readonly for s in steps)
    if step.init:
        yield "# not with a shell: a process 1 that forwards signals and reaps; the command is process 1 itself"
    yield 'cp "$(command -v busybox)" "$root/dev/busybox"'
    yield "cat > \"$root/dev/inside\" <<-'END'"
    yield "pivot_root . . # the old root lies on top of the new one now"
    yield "umount -l . # and is taken off"
    yield "cd /"
    if readonly:
        yield "mount -o remount,bind,ro /"
    yield "rm /dev/busybox /dev/inside"
    yield f"cd {shlex.quote(step.cwd or '/')}"
    yield "IFS=:"
    yield 'for directory in $PATH; do case $1 in */*) ;; *) [ ! -x "$directory/$1" ] || { program=$directory/$1; break; } ;; esac; done'
    yield 'program=${program-$1}; shift'
    taken = ",".join(f"-{name}" for name in _LENT if name not in lasting)
    yield f'exec{f" setpriv --inh-caps {taken} --ambient-caps {taken}" if taken else ""} "$program" "$@"'
    yield "END"
    yield 'cd "$root"'
    yield "# the last stage still needs two privileges: they are inheritable (which must come before the bounding set) and ambient"
    lent = ",".join(f"+{name}" for name in dict.fromkeys((*_LENT, *lasting)))
    home = () if any(word.startswith("HOME=") for word in step.env) else ('HOME="${home:-/}"',)
    yield " ".join([
        "setpriv=$(command -v setpriv); exec env -i", *home, *map(shlex.quote, step.env), f'"$setpriv" --inh-caps={lent}',
        f'"$setpriv"{promise} --bounding-set={capabilities} --ambient-caps={lent} --reuid "$user" --regid "$group" --groups "$groups"',
        '"$root/dev/busybox" sh "$root/dev/inside"', shlex.join(step.argv),
    ])  # fmt: skip
