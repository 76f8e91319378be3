"""Why a command does not start: the cause that one errno hides."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidocker.codec.executable import (
    explain_exec_failure,
    find_exit_code,
    parse_shebang,
    render_exec_error,
)

X86_64, AARCH64, I386 = 62, 183, 3


def elf(machine: int, loader: bytes = b"", *, bits: int = 64, order: str = "<") -> bytes:
    """Return the head of a program for *machine* that wants *loader*."""
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    wide = "Q" if bits == 64 else "I"
    header_size, entry_size = (64, 56) if bits == 64 else (52, 32)
    count = 2 if loader else 1
    header = struct.pack(
        f"{order}HHI{wide}{wide}{wide}I6H", 2, machine, 1, 0, header_size, 0, 0, header_size, entry_size, count, 0, 0, 0
    )
    place = header_size + entry_size * count
    entries = b""
    for kind in (1, 3)[:count]:
        if bits == 64:
            entries += struct.pack(f"{order}IIQQQQQQ", kind, 5, place, 0, 0, len(loader) + 1, 0, 1)
        else:
            entries += struct.pack(f"{order}IIIIIIII", kind, place, 0, 0, len(loader) + 1, 0, 5, 1)
    return ident + header + entries + loader + b"\0"


def nothing_exists(path: str) -> bool:
    """Answer for an image without any file."""
    return False


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(b"#!/bin/sh\necho", ("/bin/sh", ""), id="plain"),
        pytest.param(b"#! \t/bin/sh  -e \t\n", ("/bin/sh", "-e"), id="blanks-around"),
        pytest.param(b"#!/usr/bin/env -S python3 -I\n", ("/usr/bin/env", "-S python3 -I"), id="one-argument-only"),
        pytest.param(b"#!/bin/sh\r\n", ("/bin/sh\r", ""), id="carriage-return-stays"),
        pytest.param(b"#!/bin/sh", ("/bin/sh", ""), id="no-line-end"),
        pytest.param(b"#!\n", None, id="nothing"),
        pytest.param(b" #!/bin/sh\n", None, id="not-at-the-start"),
        pytest.param(b"\x7fELF", None, id="program"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_shebang_is_read_as_the_kernel_reads_it(head: bytes, expected: tuple[str, str] | None) -> None:
    """Everything behind the interpreter is one argument, and only blanks, tabs and the line feed end a word."""
    assert parse_shebang(head) == expected


@pytest.mark.parametrize(
    ("errno_name", "head", "words"),
    [
        pytest.param("ENOENT", b"#!/bin/bash\n", ["script for `/bin/bash`", "install"], id="missing-interpreter"),
        pytest.param("ENOENT", b"#!/bin/sh\r\necho\r\n", ["CR LF", "`/bin/sh\\r`", "dos2unix"], id="crlf"),
        pytest.param("ENOENT", elf(X86_64, b"/lib64/ld-linux-x86-64.so.2"), ["loader `/lib64/ld-linux-x86-64.so.2`", "glibc"], id="glibc-loader"),
        pytest.param("ENOENT", elf(X86_64, b"/lib/ld-musl-x86_64.so.1"), ["`/lib/ld-musl-x86_64.so.1`", "Alpine"], id="musl-loader"),
        pytest.param("ENOENT", elf(I386, b"/lib/ld-linux.so.2", bits=32), ["`/lib/ld-linux.so.2`"], id="32-bit-loader"),
        pytest.param("ENOENT", b"", [], id="really-missing"),
        pytest.param("ENOEXEC", elf(AARCH64), ["for aarch64", "machine is x86_64"], id="other-machine"),
        pytest.param("ENOEXEC", elf(22, order=">"), ["for s390x"], id="big-endian"),
        pytest.param("ENOEXEC", elf(4711), ["machine 4711"], id="unheard-of-machine"),
        pytest.param("ENOEXEC", elf(X86_64), ["damaged"], id="right-machine"),
        pytest.param("ENOEXEC", elf(X86_64)[:60], ["not a program"], id="header-cut-off"),
        pytest.param("ENOEXEC", b"", ["is empty"], id="empty"),
        pytest.param("ENOEXEC", b"echo hello\n", ["`#!/bin/sh`"], id="no-shebang"),
        pytest.param("ENOEXEC", b"\xef\xbb\xbf#!/bin/sh\n", ["byte order mark"], id="bom"),
        pytest.param("ENOEXEC", b"#!" + b"x" * 300, ["256 bytes"], id="endless-shebang"),
        pytest.param("ENOEXEC", b"MZ\x90\0", ["Windows"], id="windows"),
        pytest.param("ENOEXEC", b"\xcf\xfa\xed\xfe", ["macOS"], id="macos"),
        pytest.param("ENOEXEC", b"\0\1\2", ["not a program"], id="binary"),
        pytest.param("EACCES", b"#!/bin/sh\n", ["chmod +x", "`/bin/sh`"], id="not-executable-script"),
        pytest.param("EACCES", b"", ["chmod +x"], id="not-executable"),
        pytest.param("EISDIR", b"", ["inside of it"], id="directory"),
        pytest.param("ETXTBSY", b"x", [], id="another-errno"),
    ],
)  # fmt: skip
def test_cause_and_next_step_are_named(errno_name: str, head: bytes, words: list[str]) -> None:
    """Docker passes the errno on; half of all questions about a container that does not start are one of these."""
    text = explain_exec_failure(
        path="/app/run", errno_name=errno_name, head=head, machine="x86_64", interpreter_exists=nothing_exists
    )
    assert all(word in text for word in words), text
    assert bool(text) == bool(words)


def test_interpreter_that_exists_is_not_blamed() -> None:
    """Only what was found missing is called missing."""
    for head in (b"#!/bin/sh\n", elf(X86_64, b"/lib/ld.so")):
        assert not explain_exec_failure(
            path="/x", errno_name="ENOENT", head=head, machine="x86_64", interpreter_exists=lambda path: True
        )


@pytest.mark.parametrize(
    ("command", "errno_name", "in_path", "text", "exit_code"),
    [
        pytest.param("foo", "ENOENT", True, 'exec: "foo": executable file not found in $PATH', 127, id="not-in-path"),
        pytest.param("/nope", "ENOENT", False, 'exec: "/nope": stat /nope: no such file or directory', 127, id="no-such-path"),
        pytest.param("/etc/passwd", "EACCES", False, 'exec: "/etc/passwd": permission denied', 126, id="not-executable"),
        pytest.param("/etc", "EISDIR", False, 'exec: "/etc": is a directory', 126, id="directory"),
        pytest.param("/x", "ENOEXEC", False, "exec /x: exec format error", 126, id="format"),
        pytest.param("/x", "E2BIG", False, 'exec: "/x": E2BIG', 125, id="another"),
    ],
)  # fmt: skip
def test_text_begins_with_the_words_of_runc(
    command: str, errno_name: str, in_path: bool, text: str, exit_code: int
) -> None:
    """Docker's client reads the exit code out of these words, so they are part of the interface."""
    error = render_exec_error(command, errno_name=errno_name, in_path=in_path)
    assert error == text or error.startswith(f"{text} (")
    assert find_exit_code(error) == exit_code


@given(
    head=st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=80).map(lambda tail: b"#!" + tail),
        st.binary(max_size=120).map(lambda tail: elf(X86_64, b"/lib/ld.so")[:40] + tail),
        st.binary(max_size=120).map(lambda tail: b"\x7fELF\x02\x01" + tail),
    ),
    errno_name=st.sampled_from(["ENOENT", "EACCES", "EISDIR", "ENOEXEC"]),
    found=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_file_gives_a_text_with_the_exit_code_of_its_errno(head: bytes, errno_name: str, found: bool) -> None:
    """The file is a stranger's: no content raises, and no hint turns 126 into 127."""
    error = render_exec_error(
        "/x", errno_name=errno_name, head=head, machine="x86_64", interpreter_exists=lambda path: found
    )
    assert find_exit_code(error) == (127 if errno_name == "ENOENT" else 126)
