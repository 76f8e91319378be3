"""Watching a machine: scripts stand for QEMU and say on their output what a console would."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from minidocker.machine.boot import MachineFailed, explain_console, run_machine

PANIC = """print("[    1.2] Initramfs unpacking failed: invalid magic at start of compressed archive")
print("[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\\r")"""


def fake_qemu(script: str) -> list[str]:
    """Return a command that does what *script* says."""
    return [sys.executable, "-c", script]


def test_status_of_the_command_is_read_from_the_console() -> None:
    """The machine's last line says how its command ended; nothing else leaves a machine for certain."""
    seen: list[str] = []
    script = "print('hello\\r'); print('machine: the command ended with status 3, the machine goes off')"
    assert run_machine(fake_qemu(script), limit_s=60, show=seen.append) == 3
    assert seen[0] == "hello"


BAD = {
    "panic": (PANIC, "its kernel panicked: VFS: Unable to mount root fs", "invalid magic"),
    "refused-by-qemu": ("import sys; print('qemu: could not load kernel'); sys.exit(1)", "QEMU ended with status 1", "could not load kernel"),
    "went-off-early": ("print('[ 1.0] reboot: Power down')", "went off without having run its command", "Power down"),
    "silent": ("", "went off without having run its command", "it said nothing"),
}


@pytest.mark.parametrize(("script", "cause", "shown"), BAD.values(), ids=BAD)
def test_failed_machine_is_told_with_its_last_lines(script: str, cause: str, shown: str) -> None:
    """A truncated initramfs ends in a panic about a root file system: the lines above it are what explains it."""
    with pytest.raises(MachineFailed) as caught:
        run_machine(fake_qemu(script), limit_s=60)
    assert cause in caught.value.message
    assert shown in caught.value.message.partition("its console ended with")[2]


def test_machine_that_hangs_is_ended_and_shown(tmp_path: Path) -> None:
    """It must not outlive who waits for it; its last line is the only trace of where it stopped."""
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); print('loading', flush=True); time.sleep(600)"
    with pytest.raises(MachineFailed, match=r"did not end in 2 s; its console ended with\n  \| loading"):
        run_machine(fake_qemu(script), limit_s=2)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_log_of_a_console_is_explained_by_its_panic(tmp_path: Path) -> None:
    """A machine in the background has a log; the trace of a panic is longer than what is shown, so the cause is said first."""
    log = tmp_path / "console.log"
    log.write_text("[ 1.5] Kernel panic - not syncing: Attempted to kill init!\r\n" + "[ 1.5]  trace\r\n" * 40)
    assert explain_console(log, "it ended").startswith("run machine: its kernel panicked: Attempted to kill init!; its console ended with\n  | ")
    assert explain_console(tmp_path / "none", "it ended") == "run machine: it ended; its console ended with\n  | (it said nothing)"


def test_only_the_last_lines_are_shown() -> None:
    """A console may hold thousands; the cause is at its end."""
    with pytest.raises(MachineFailed) as caught:
        run_machine(fake_qemu("for n in range(1000): print('line', n)"), limit_s=60)
    assert "line 999" in caught.value.message
    assert "line 900" not in caught.value.message


def test_program_that_is_not_there_is_named() -> None:
    """Between finding QEMU and starting it, it may have gone."""
    begin = time.monotonic()
    with pytest.raises(MachineFailed, match="`/no/such/qemu`"):
        run_machine(["/no/such/qemu"], limit_s=60)
    assert time.monotonic() - begin < 60
