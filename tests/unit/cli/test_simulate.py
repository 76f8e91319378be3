"""`run --simulate`: a container that is never made."""

from __future__ import annotations

import pytest

from minidocker.cli.main import main


def output(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the client and return its status and what it printed."""
    status = main(["run", "--simulate", *words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_views_are_those_of_the_container(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, processes, mounts, network and limits, as a program inside would find them; no server is asked."""
    status, text, _ = output(capsys, "--hostname", "box", "--user", "nobody", "-m", "64m", "-v", "/srv:/data:ro", "toolbox", "sh")
    assert status == 0
    views = dict(part.split(" <==\n", 1) for part in text.split("==> ")[1:])
    assert views["hostname"].strip() == "box"
    assert "Uid:\t65534\t65534\t65534\t65534\n" in views["/proc/self/status"]
    assert " /srv /data ro,relatime - ext4 " in views["/proc/self/mountinfo"]
    assert views["/sys/fs/cgroup/memory.max"].strip() == str(64 << 20)
    assert "inet 172.17.0.2/16" in views["ip address"]


def test_explain_shows_what_each_step_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """`--explain --simulate`: step, then its changes."""
    _, text, _ = output(capsys, "--explain", "--hostname", "box", "toolbox", "sh")
    lines = text.splitlines()
    step = next(n for n, line in enumerate(lines) if "sethostname('box')" in line)
    assert lines[step + 1].strip() == "~ hostname: host -> box"


REFUSED = {
    "limit-beyond-the-kernels": (["--ulimit", "nofile=5:2000000"], "the kernel would refuse: more open files than fs.nr_open"),
    "user-that-is-not-there": (["--user", "nosuch"], "unable to find user nosuch"),
}


@pytest.mark.parametrize(("flags", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refusal_names_the_rule(capsys: pytest.CaptureFixture[str], flags: list[str], sentence: str) -> None:
    """One sentence to act on, and 125 as for any container that cannot be started."""
    status, _, errors = output(capsys, *flags, "toolbox", "sh")
    assert (status, sentence in errors) == (125, True), errors
