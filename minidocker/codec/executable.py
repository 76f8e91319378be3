"""Why the kernel would not run a file, from its first bytes.

Pure. execve(2) answers with one errno for many causes: ENOENT may mean the file, the interpreter of a script, or the
loader of a program; ENOEXEC a program for another machine or no program at all. The first `HEAD_BYTES` of the file say
which. `explain_exec_failure` gives the sentence for a person, `render_exec_error` puts it behind the words of runc, from
which Docker's clients conclude the exit code (127 or 126), so those words come first and a hint never contains them.

See execve(2), "Interpreter scripts"; elf(5). Chapter 16.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

__all__ = ["HEAD_BYTES", "explain_exec_failure", "find_exit_code", "parse_shebang", "render_exec_error"]

HEAD_BYTES: Final = 4096
"""How much of a file is looked at: the ELF header, its program headers and the name of the loader fit well."""

_SHEBANG_BYTES: Final = 256
"""`BINPRM_BUF_SIZE`: the kernel looks no farther for the end of a `#!` line."""

_PT_INTERP: Final = 3

_MACHINES: Final[Mapping[int, tuple[str, str]]] = {
    3: ("i386", "386"),
    8: ("mips", "mips64le"),
    20: ("ppc", "ppc"),
    21: ("ppc64le", "ppc64le"),
    22: ("s390x", "s390x"),
    40: ("arm", "arm"),
    62: ("x86_64", "amd64"),
    183: ("aarch64", "arm64"),
    243: ("riscv64", "riscv64"),
    258: ("loongarch64", "loong64"),
}
"""`e_machine` of elf(5): the name of uname(2), and Docker's name of the architecture."""


class _ElfHead(NamedTuple):
    machine: int
    loader: str
    """The path in PT_INTERP, empty for a static program."""


def parse_shebang(head: bytes) -> tuple[str, str] | None:
    """Return the interpreter of a script and its one argument (may be empty), as the kernel reads the first line.

    A carriage return is no space to the kernel: it stays part of the name. Without `#!`, or with nothing after it,
    there is no interpreter.
    """
    if not head.startswith(b"#!"):
        return None
    line = head[2:_SHEBANG_BYTES].split(b"\n", 1)[0].strip(b" \t")
    end = min((line.find(blank) for blank in (b" ", b"\t") if blank in line), default=len(line))
    interpreter, argument = line[:end], line[end:].strip(b" \t")
    return (_text(interpreter), _text(argument)) if interpreter else None


def explain_exec_failure(
    *,
    path: str,
    errno_name: str,
    head: bytes,
    machine: str,
    interpreter_exists: Callable[[str], bool] = lambda path: True,
) -> str:
    """Return the cause in one sentence and the next step, empty if the errno already says everything.

    Args:
        path: the command, as it is named in the container.
        errno_name: what execve(2) answered, such as `ENOENT`.
        head: the first `HEAD_BYTES` of the file; empty if it is empty or could not be read.
        machine: the host's, as uname(2) calls it.
        interpreter_exists: whether a path exists in the container.
    """
    match errno_name:
        case "EISDIR":
            return f"`{path}` is not a program; name a file inside of it"
        case "EACCES":
            return _explain_refusal(path, head)
        case "ENOENT" if head:
            return _explain_missing_interpreter(path, head, interpreter_exists)
        case "ENOEXEC":
            return _explain_format(path, head, machine)
    return ""


def _explain_refusal(path: str, head: bytes) -> str:
    shebang = parse_shebang(head)
    script = f", or its interpreter `{shebang[0]}` may not be executed" if shebang else ""
    return f"`{path}` is not marked as executable for this user{script}; run `chmod +x` on it before it goes into the image"


def _explain_missing_interpreter(path: str, head: bytes, exists: Callable[[str], bool]) -> str:
    """Return why a file that is there is "not there": what it must be run with is missing."""
    shebang = parse_shebang(head)
    if shebang:
        interpreter, _ = shebang
        if interpreter.endswith("\r"):
            return (
                f"the first line of `{path}` ends with CR LF as on Windows, so its interpreter is looked for as "
                f"`{interpreter[:-1]}\\r`; save the script with LF line ends (`dos2unix`, or `eol=lf` in .gitattributes)"
            )
        if not exists(interpreter):
            return (
                f"`{path}` is a script for `{interpreter}`, and the image has no such file; install that interpreter or "
                "change the first line of the script"
            )
    elf = _parse_elf(head)
    if elf and elf.loader and not exists(elf.loader):
        kind = "musl, as in Alpine" if "musl" in elf.loader else "glibc, as in Debian"
        return (
            f"`{path}` is there, and its loader `{elf.loader}` ({kind}) is not in the image; use an image with that C "
            "library, or link the program statically"
        )
    return ""


def _explain_format(path: str, head: bytes, machine: str) -> str:
    """Return why the kernel knows no way to run a file."""
    if not head:
        return f"`{path}` is empty; it was not built or not copied whole"
    elf = _parse_elf(head)
    if elf:
        name, architecture = _MACHINES.get(elf.machine, (f"machine {elf.machine}", "…"))
        if name != machine:
            return (
                f"`{path}` is a program for {name}, and this machine is {machine}; use an image for this machine, or "
                f"install qemu-user for {architecture} on the host"
            )
        return f"`{path}` is a program for this machine and damaged; build or copy it again"
    if head.startswith((b"\xef\xbb\xbf#!", b"\xff\xfe#\x00")):
        return f"`{path}` begins with a byte order mark, which hides its `#!` line; save it as UTF-8 without one"
    if head.startswith(b"#!"):
        return f"the `#!` line of `{path}` names no interpreter or is longer than {_SHEBANG_BYTES} bytes; shorten it"
    if head.startswith(b"MZ"):
        return f"`{path}` is a program for Windows; build it for Linux"
    if head[:4] in (b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xcf"):
        return f"`{path}` is a program for macOS; build it for Linux"
    if b"\0" in head[:512]:
        return f"`{path}` is not a program that Linux knows; check how it was built"
    return f"`{path}` is text without a `#!` line; begin it with the interpreter, such as `#!/bin/sh`"


def _parse_elf(head: bytes) -> _ElfHead | None:
    """Return what the ELF header says, `None` for something else or a header that is cut off.

    struct Elf64_Ehdr: ident[16] u16 type, machine; u32 version; u64 entry, phoff, shoff; u32 flags;
    u16 ehsize, phentsize, phnum, …; with 32 bits the addresses are u32.
    """
    if head[:4] != b"\x7fELF" or len(head) < 52 or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    order = "<" if head[5] == 1 else ">"
    is_64 = head[4] == 2
    if is_64 and len(head) < 64:
        return None
    (machine,) = struct.unpack_from(f"{order}H", head, 18)
    (start,) = struct.unpack_from(f"{order}Q" if is_64 else f"{order}I", head, 32 if is_64 else 28)
    size, count = struct.unpack_from(f"{order}HH", head, 54 if is_64 else 42)
    for offset in range(start, start + size * count, size or 1):
        if offset + (56 if is_64 else 32) > len(head):
            break
        layout = f"{order}I4xQ16xQ" if is_64 else f"{order}II8xI"
        kind, place, length = struct.unpack_from(layout, head, offset)
        if kind == _PT_INTERP:
            return _ElfHead(machine, _text(head[place : place + length].split(b"\0", 1)[0]))
    return _ElfHead(machine, "")


def render_exec_error(
    command: str,
    *,
    errno_name: str,
    in_path: bool = False,
    head: bytes = b"",
    machine: str = "",
    interpreter_exists: Callable[[str], bool] = lambda path: True,
) -> str:
    """Return the whole text for a command that did not start: runc's words, and in brackets what we know.

    Args:
        command: the first word of the command, as it was given.
        errno_name: what execve(2) answered, such as `ENOENT`.
        in_path: whether *command* has no slash and nothing in PATH was found for it.
        head: see `explain_exec_failure`, as the others.
        machine: the host's.
        interpreter_exists: whether a path exists in the container.
    """
    if in_path and errno_name == "ENOENT":
        return f'exec: "{command}": executable file not found in $PATH'
    hint = explain_exec_failure(
        path=command, errno_name=errno_name, head=head, machine=machine, interpreter_exists=interpreter_exists
    )
    texts = {
        "ENOENT": f'exec: "{command}": stat {command}: no such file or directory',
        "EACCES": f'exec: "{command}": permission denied',
        "EISDIR": f'exec: "{command}": is a directory',
        "ENOEXEC": f"exec {command}: exec format error",
    }
    if errno_name == "ENOENT" and head:  # the file is there, so runc's stat succeeds and execve(2) is what fails
        texts["ENOENT"] = f"exec {command}: no such file or directory"
    text = texts.get(errno_name, f'exec: "{command}": {errno_name}')
    return f"{text} ({hint})" if hint else text


def find_exit_code(text: str) -> int:
    """Return the exit code that Docker's client derives from the *text* of a failed start: 127, 126, or 125."""
    if "executable file not found" in text or "no such file or directory" in text:
        return 127
    if "permission denied" in text or "is a directory" in text or "exec format error" in text:
        return 126
    return 125


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
