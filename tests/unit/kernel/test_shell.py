"""The plan as a script: what a person would type."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.explain import plan_dry_run
from minidocker.codec.idmap import IdMap, IdRange
from minidocker.kernel.flags import Clone
from minidocker.kernel.shell import render_shell
from minidocker.kernel.steps import (
    Actor, BindDevice, EnterUserNamespace, Exec, Join, PopulateVolume, RemoveLink, ServeNames, SetOomScore, SetUser, Step, actor_of,
)  # fmt: skip
from minidocker.spec.record import Json


IDS = IdMap(uids=(IdRange(0, 100000, 65536),), gids=(IdRange(0, 100000, 65536),))


def script_of(host: dict[str, Json], **config: Json) -> str:
    """Return the script for a create request."""
    return render_shell(plan_dry_run({"Image": "x", "Cmd": ["sh"], **config, "HostConfig": host}))


WORDS = {
    "unshare": ({}, {}, 'unshare --pid --fork --kill-child setsid sh "$0" init-1'),
    "host-pids": ({"PidMode": "host"}, {}, '\tsetsid sh "$0" init-1'),
    "namespaces": ({"NetworkMode": "host"}, {}, 'exec unshare --mount --propagation unchanged --uts --ipc sh "$0" init-2'),
    "hostname": ({}, {"Hostname": "box"}, "echo box > /proc/sys/kernel/hostname"),
    "bind": ({"Binds": ["/srv:/data:ro"]}, {}, 'mount --rbind /srv "$root"/data\n\tmount -o remount,bind,ro "$root"/data'),
    "limit": ({"Ulimits": [{"Name": "nofile", "Soft": -1, "Hard": -1}]}, {}, "prlimit --pid $$ --nofile=unlimited:unlimited"),
    "user": ({}, {"User": "nobody:tty"}, "group=$(find_id /etc/group tty 3)"),
    "promise": ({"SecurityOpt": ["no-new-privileges"]}, {}, '"$setpriv" --no-new-privs --bounding-set=-all,+chown'),
    "read-only": ({"ReadonlyRootfs": True}, {}, "mount -o remount,bind,ro /\n"),
    "what-no-tool-can": ({}, {}, "# not with a shell: seccomp(2) with the default profile"),
}


@pytest.mark.parametrize(("host", "config", "words"), WORDS.values(), ids=WORDS)
def test_step_is_written_with_the_usual_tools(host: dict[str, Json], config: dict[str, Json], words: str) -> None:
    """Each step is a command that the reader can look up."""
    assert words in script_of(host, **config)


def test_map_of_users_is_written_from_outside() -> None:
    """Who is in the new user namespace is nobody, until root outside has said who is who."""
    script = render_shell(plan_dry_run({"Image": "x", "Cmd": ["sh"], "HostConfig": {}}, ids=IDS))
    assert "printf '0 100000 65536\\n' > /proc/$pid/uid_map" in script
    assert 'exec unshare --user --keep-caps sh "$0" init-3' in script
    assert 'exec setpriv --inh-caps -all --ambient-caps -all --reuid 0 --regid 0 --clear-groups sh "$0" init-4' in script
    assert 'exec unshare --pid --fork --kill-child setsid sh "$0" init-5' in script
    assert "mount --bind /dev/null" in script
    joined = render_shell((EnterUserNamespace(uid_map=IDS.uids, gid_map=IDS.gids, pid=7), Exec(argv=("sh",), env=())))
    assert 'exec nsenter --target 7 --user --setuid 0 --setgid 0 sh "$0" init-2' in joined


def test_no_kind_of_step_is_left_out() -> None:
    """Every kind leaves a line, even where it is a comment: as many reasons as there are steps with one."""
    steps = plan_dry_run({"Image": "x", "Cmd": ["sh"], "Tty": True, "WorkingDir": "/w", "HostConfig": {"Binds": ["v:/d"], "Init": True}})
    more: tuple[Step, ...] = (
        Join(pid=7, namespaces=Clone.NEWIPC, actor=Actor.INIT, why="?join"), BindDevice(host_path="/dev/x", path="/dev/y", why="?bind"),
        PopulateVolume(path="/d", volume="/v", why="?populate"), RemoveLink(link="veth0", why="?remove"), ServeNames(why="?serve"),
        SetOomScore(score=5, why="?oom"),
    )  # fmt: skip
    foreign = plan_dry_run({"Image": "x", "Cmd": ["sh"], "HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 1}]}}, ids=IDS)
    assert all(f"# {step.why}\n" in render_shell(foreign) for step in foreign if step.why)
    script = render_shell((*steps[:-1], *more, steps[-1]))
    assert all(f"# {step.why}\n" in script for step in (*steps, *more) if step.why)
    assert {actor_of(step) for step in get_args(Step) and more} == set(Actor)
    assert isinstance(steps[-1], Exec)


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1, max_size=3), st.text(st.characters(codec="utf-8", exclude_characters="\0\n")))
def test_script_is_valid_whatever_the_command_says(words: list[str], value: str) -> None:
    """Quotes, dollars and line ends of a command or a variable stay data: a shell reads the same words back."""
    script = script_of({}, Cmd=list(words), Env=[f"X={value}"])
    last = script.rpartition("exec env -i ")[2].removesuffix("\n\t;;\nesac\n")
    show = "for word; do printf '%s\\0' \"$word\"; done"
    result = subprocess.run(["sh", "-c", f"set -- {last}\n{show}"], capture_output=True, check=False, timeout=60)
    shown = result.stdout.decode("utf-8", "surrogateescape").split("\0")
    assert shown[-len(words) - 1 : -1] == words, result.stderr
    assert f"X={value}" in shown
    assert subprocess.run(["sh", "-n"], input=script.encode(), capture_output=True, check=False, timeout=60).returncode == 0


def test_ambient_capability_is_left_to_the_command() -> None:
    """What is lent for the last stage is taken back; what shall last is not. A namespace can also be named by its file."""
    steps = plan_dry_run({"Image": "x", "Cmd": ["sh"], "HostConfig": {}})
    lasting = tuple(replace(s, ambient=("CAP_SYS_ADMIN",)) if isinstance(s, SetUser) else s for s in steps)
    join = Join(pid=0, path="/run/netns/blue", namespaces=Clone.NEWNET, actor=Actor.INIT)
    script = render_shell((*lasting[:-1], join, lasting[-1]))
    assert "exec setpriv --inh-caps -dac_override --ambient-caps -dac_override" in script
    assert "exec nsenter --net=/run/netns/blue sh" in script
