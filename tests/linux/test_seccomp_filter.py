"""The default filter in the kernel: a child installs it and tries what a container must not do."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import socket
import sys
from collections.abc import Callable

import pytest

from minidocker.codec.bpf import SyscallData, parse_program, run_filter
from minidocker.codec.syscalls import AUDIT_ARCH, SYSCALL_MACHINES, load_syscall_numbers
from minidocker.container.capabilities import DEFAULT_CAPABILITIES
from minidocker.container.seccomp import compile_profile, default_profile

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    pytest.mark.skipif(platform.machine() not in SYSCALL_MACHINES, reason="no system call numbers for this machine"),
]

MACHINE = platform.machine()
PR_SET_NO_NEW_PRIVS = 38
PR_SET_DUMPABLE = 4


def compile_default() -> bytes:
    """Return the filter of a container without options on this kernel."""
    major, minor = os.uname().release.split(".")[:2]
    kernel = (int(major), int("".join(c for c in minor if c.isdigit())))
    return compile_profile(default_profile(), capabilities=DEFAULT_CAPABILITIES, machine=MACHINE, kernel=kernel)


def run_filtered(program: bytes, act: Callable[[ctypes.CDLL], object]) -> object:
    """Return what *act* returned in a child that runs under *program*, or the signal that ended it."""
    from minidocker.kernel.seccomp import install_filter

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no core file from the child that is killed
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            install_filter(program)
            os.write(writer, json.dumps(act(libc)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader, "rb") as stream:
        text = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(text) if text else f"ended with {status}"


def call(libc: ctypes.CDLL, number: int, *arguments: int) -> str:
    """Make a system call and return `ok` or the name of its errno."""
    words = (ctypes.c_long(value) for value in arguments)
    return "ok" if libc.syscall(ctypes.c_long(number), *words) >= 0 else errno.errorcode[ctypes.get_errno()]


PROBES = [
    pytest.param("getpid", (), "ok", id="getpid"),
    pytest.param("mount", (0, 0, 0, 0, 0), "EPERM", id="mount"),
    pytest.param("umount2", (0, 0), "EPERM", id="umount2"),
    pytest.param("io_uring_setup", (1, 0), "EPERM", id="io_uring"),
    pytest.param("clone3", (0, 0), "ENOSYS", id="clone3"),
    pytest.param("unshare", (0x10000000,), "EPERM", id="user-namespace"),
    pytest.param("bpf", (0, 0, 0), "EPERM", id="bpf"),
    pytest.param("keyctl", (0, 0), "EPERM", id="keyctl"),
    pytest.param("socket", (2, 1, 0), "ok", id="inet-socket"),
    pytest.param("socket", (2**32 + 2, 1, 0), "ok", id="inet-socket-with-a-high-half"),
    pytest.param("socket", (38, 5, 0), "EPERM", id="af-alg"),
    pytest.param("socket", (2**32 + 38, 5, 0), "EPERM", id="af-alg-with-a-high-half"),
    pytest.param("socket", (40, 1, 0), "EPERM", id="vsock"),
    pytest.param("personality", (0xFFFFFFFF,), "ok", id="personality-question"),
    pytest.param("personality", (0x0,), "ok", id="personality-linux"),
    pytest.param("personality", (0x40000,), "EPERM", id="personality-without-randomization"),
    pytest.param(600, (), "ENOSYS", id="number-of-the-future"),
]


@pytest.mark.parametrize(("name", "arguments", "answer"), PROBES)
def test_default_filter_answers_in_the_kernel(name: str | int, arguments: tuple[int, ...], answer: str) -> None:
    """Root without any filter would succeed with most of these; the filter is what says no."""
    number = name if isinstance(name, int) else load_syscall_numbers(MACHINE)[name]
    assert run_filtered(compile_default(), lambda libc: call(libc, number, *arguments)) == answer


def test_kernel_and_interpreter_agree_about_every_probe() -> None:
    """The simulator asks the interpreter, so it must be the kernel's twin."""
    program = parse_program(compile_default())
    words = {0x7FFF0000: "ok", 0x00050001: "EPERM", 0x00050026: "ENOSYS"}
    for probe in PROBES:
        name, arguments, answer = probe.values
        assert isinstance(arguments, tuple)
        number = name if isinstance(name, int) else load_syscall_numbers(MACHINE)[str(name)]
        data = SyscallData(number=number, arch=AUDIT_ARCH[MACHINE], arguments=arguments)
        assert words[run_filter(program, data)] == answer


@pytest.mark.skipif(MACHINE != "x86_64", reason="only x86_64 has this door")
def test_x32_numbers_do_not_exist_in_a_container() -> None:
    """The kernel may have no x32 either; the point is that a filtered number does not get through with bit 30."""
    assert run_filtered(compile_default(), lambda libc: call(libc, 0x40000000 | 165)) == "ENOSYS"


def test_ordinary_work_goes_on_under_the_filter() -> None:
    """Files, sockets, processes: a filter that stops Python would stop everything."""

    def work(libc: ctypes.CDLL) -> object:
        left, right = socket.socketpair()
        left.sendall(b"x")
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return [right.recv(1).decode(), exit_code, sorted(os.listdir("/proc/self/task")) != []]

    assert run_filtered(compile_default(), work) == ["x", 7, True]


def test_call_through_another_machine_is_deadly() -> None:
    """A filter made for the other machine shows it: the first call that follows ends the process with SIGSYS."""
    other = next(machine for machine in SYSCALL_MACHINES if machine != MACHINE)
    program = compile_profile(default_profile(), capabilities=DEFAULT_CAPABILITIES, machine=other, kernel=(6, 1))
    assert run_filtered(program, lambda libc: call(libc, 0)) == "ended with -31"
