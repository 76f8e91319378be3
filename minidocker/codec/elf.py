"""ELF: what a program needs to run, and the smallest program that says something.

An ELF file is a header, a table of *segments* (what the kernel maps) and their contents. One segment may name the loader
(`PT_INTERP`); another holds the dynamic section (`PT_DYNAMIC`), which names the libraries that the loader must find
(`DT_NEEDED`) and where to look first (`DT_RUNPATH`, or the older `DT_RPATH`). `parse_elf` reads those, so that a program can be
put into an image with everything it needs. `render_greeting_program` writes a static program from single instructions.

Pure: files come in whole as bytes. See elf(5), ld.so(8), System V ABI chapter 5. Chapter 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from minidocker.errors import InvalidParameter, NotSupported

__all__ = ["MACHINE_NUMBERS", "Elf", "InvalidElf", "find_section", "parse_elf", "render_greeting_program", "strip_sections"]

MACHINE_NUMBERS: Final = {"x86_64": 62, "aarch64": 183}
"""`e_machine` by the name that uname(2) gives; see `<linux/elf-em.h>`."""

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29
_MAX_DYNAMIC_ENTRIES = 4096
"""More than any real library has; a broken file must not keep us busy."""


class InvalidElf(InvalidParameter):
    """The bytes are no ELF file, or a damaged one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """What a program or library says about itself."""

    bits: int
    """32 or 64."""
    machine: int
    """`e_machine`, see `MACHINE_NUMBERS`."""
    interpreter: str = ""
    """Path of the loader; empty for a static program and for libraries."""
    needed: tuple[str, ...] = ()
    """Names of the libraries it is linked with."""
    rpath: tuple[str, ...] = ()
    """Directories to search before everything else, valid for dependencies too; with `$ORIGIN` as it stands."""
    runpath: tuple[str, ...] = ()
    """Directories to search for its own libraries."""


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


class _Layout(NamedTuple):
    """The shape of the tables in one class of ELF file."""

    header: str
    segment: str
    dynamic: str


_LAYOUTS: Final = {
    # e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum
    # p_type (p_flags) p_offset p_vaddr p_paddr p_filesz
    1: _Layout("HHIIIIIHHH", "IIIII", "iI"),
    2: _Layout("HHIQQQIHHH", "I4xQQQQ", "qQ"),
}


def parse_elf(content: bytes) -> Elf:
    """Return what the ELF file with this *content* needs.

    Raises:
        InvalidElf: it is something else, or its tables point outside it.
    """
    if content[:4] != b"\x7fELF" or len(content) < 20 or content[4] not in _LAYOUTS or content[5] not in (1, 2):
        raise InvalidElf("read program: this is not an ELF file")
    layout, order = _LAYOUTS[content[4]], "<" if content[5] == 1 else ">"
    try:
        segments = tuple(_read_segments(content, layout, order))
        machine = struct.unpack_from(order + "H", content, 18)[0]
        interpreter = next((_cut(content, segment) for segment in segments if segment.kind == _PT_INTERP), b"")
        tags = [
            tag for segment in segments if segment.kind == _PT_DYNAMIC for tag in _read_tags(content, segment, layout, order)
        ]
        strings = next((_find_offset(segments, value) for tag, value in tags if tag == _DT_STRTAB), 0)
        texts = [(tag, _text_at(content, strings + value)) for tag, value in tags if tag in _TEXT_TAGS]
    except (struct.error, OverflowError, ValueError) as error:
        raise InvalidElf(f"read program: the ELF file is damaged: {error}") from error
    return Elf(
        bits=32 if content[4] == 1 else 64, machine=machine, interpreter=interpreter.split(b"\0", 1)[0].decode(errors="replace"),
        needed=tuple(text for tag, text in texts if tag == _DT_NEEDED),
        rpath=tuple(part for tag, text in texts if tag == _DT_RPATH for part in text.split(":") if part),
        runpath=tuple(part for tag, text in texts if tag == _DT_RUNPATH for part in text.split(":") if part),
    )  # fmt: skip


_TEXT_TAGS: Final = (_DT_NEEDED, _DT_RPATH, _DT_RUNPATH)


def _read_segments(content: bytes, layout: _Layout, order: str) -> Iterator[_Segment]:
    fields = struct.unpack_from(order + layout.header, content, 16)
    start, entry_size, count = fields[4], fields[8], fields[9]
    for index in range(count):
        kind, offset, address, _, size = struct.unpack_from(order + layout.segment, content, start + index * entry_size)
        yield _Segment(kind, offset, address, size)


def _read_tags(content: bytes, segment: _Segment, layout: _Layout, order: str) -> Iterator[tuple[int, int]]:
    """Yield the (tag, value) pairs of the dynamic section, up to its end mark."""
    pair = struct.Struct(order + layout.dynamic)
    for index in range(min(segment.size // pair.size, _MAX_DYNAMIC_ENTRIES)):
        tag, value = pair.unpack_from(content, segment.offset + index * pair.size)
        if tag == 0:
            return
        yield tag, value


def _find_offset(segments: tuple[_Segment, ...], address: int) -> int:
    """Return where in the file the byte is that gets mapped at *address*."""
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    raise ValueError("the table of strings lies outside the file")


def _cut(content: bytes, segment: _Segment) -> bytes:
    if segment.offset + segment.size > len(content):
        raise ValueError("a segment lies outside the file")
    return content[segment.offset : segment.offset + segment.size]


def _text_at(content: bytes, offset: int) -> str:
    end = content.find(b"\0", offset)
    if end < 0:
        raise ValueError("a name lies outside the file")
    return content[offset:end].decode(errors="replace")


def find_section(content: bytes, name: str) -> bytes:
    """Return the section *name*: what linkers and debuggers see of a file; nothing if it has none of that name.

    Raises:
        InvalidElf: it is no ELF file, or its tables point outside it.
    """
    if content[:4] != b"\x7fELF" or len(content) < 64 or content[4] not in _LAYOUTS or content[5] not in (1, 2):
        raise InvalidElf("read program: this is not an ELF file")
    order = "<" if content[5] == 1 else ">"
    # e_shoff (e_flags e_ehsize e_phentsize e_phnum) e_shentsize e_shnum e_shstrndx; sh_name (…) sh_offset sh_size
    place, header, row = (32, "I10xHHH", "I12xII") if content[4] == 1 else (40, "Q10xHHH", "I20xQQ")
    try:
        start, size, count, names = struct.unpack_from(order + header, content, place)
        entry = struct.Struct(order + row)
        sections = [entry.unpack_from(content, start + index * size) for index in range(count)]
        texts = sections[names][1] if sections else 0
        found = next(((offset, length) for word, offset, length in sections if _text_at(content, texts + word) == name), (0, 0))
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise InvalidElf(f"read program: the ELF file is damaged: {error}") from error
    return content[found[0] : found[0] + found[1]]


def strip_sections(content: bytes) -> bytes:
    """Return a program or library without what only linkers and debuggers read: everything behind the last segment.

    Raises:
        InvalidElf: it is no ELF file, or its tables point outside it.
    """
    elf = parse_elf(content)  # raises for what is none
    order = "<" if content[5] == 1 else ">"
    layout = _LAYOUTS[content[4]]
    fields = struct.unpack_from(order + layout.header, content, 16)
    table_end = fields[4] + fields[8] * fields[9]
    end = max([table_end, *(segment.offset + segment.size for segment in _read_segments(content, layout, order))])
    kept = bytearray(content[:end])
    # e_shoff; e_shnum and e_shstrndx are the last two numbers of the header
    place, word, header_end = (32, "I", 52) if elf.bits == 32 else (40, "Q", 64)
    struct.pack_into(order + word, kept, place, 0)
    struct.pack_into(order + "HH", kept, header_end - 4, 0, 0)
    return bytes(kept)


_BASE_ADDRESS: Final = 0x400000
_HEADERS_BYTES: Final = 64 + 56
"""The ELF header and one segment; the code follows directly."""


def render_greeting_program(text: bytes, *, machine: str) -> bytes:
    """Return a static program that writes *text* to standard output and exits with 0.

    The whole file is one segment, mapped readable and executable: headers, then code, then the text.

    Raises:
        NotSupported: no instructions are known here for *machine*.
    """
    if machine not in MACHINE_NUMBERS:
        raise NotSupported(
            f"write program for `{machine}`: instructions are known only for {', '.join(MACHINE_NUMBERS)}",
            hint="take an image that was built for this machine",
        )
    code = _code_x86_64(len(text)) if machine == "x86_64" else _code_aarch64(len(text))
    size = _HEADERS_BYTES + len(code) + len(text)
    # e_ident: magic, 64 bits, little-endian, version 1, ABI System V
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH",
        2,  # e_type: ET_EXEC, a program at fixed addresses
        MACHINE_NUMBERS[machine],
        1,  # e_version
        _BASE_ADDRESS + _HEADERS_BYTES,  # e_entry: the first instruction
        64,  # e_phoff: the segment follows this header
        0, 0,  # e_shoff, e_flags: no sections; they are for linkers and debuggers
        64, 56, 1,  # e_ehsize, e_phentsize, e_phnum
        0, 0, 0,  # e_shentsize, e_shnum, e_shstrndx
    )  # fmt: skip
    segment = struct.pack(
        "<IIQQQQQQ",
        _PT_LOAD, 4 | 1,  # p_flags: PF_R | PF_X
        0, _BASE_ADDRESS, _BASE_ADDRESS,  # p_offset, p_vaddr, p_paddr
        size, size, 0x10000,  # p_filesz, p_memsz, p_align: the largest page size of both machines
    )  # fmt: skip
    return header + segment + code + text


def _code_x86_64(length: int) -> bytes:
    """write(1, text, length); exit_group(0): the number goes into eax, arguments into edi, rsi, edx."""
    after = struct.pack("<BI", 0xBA, length)  # mov edx, length
    after += b"\x0f\x05"  # syscall
    after += b"\xb8\xe7\x00\x00\x00"  # mov eax, 231 (exit_group)
    after += b"\x31\xff"  # xor edi, edi
    after += b"\x0f\x05"  # syscall
    before = b"\xb8\x01\x00\x00\x00"  # mov eax, 1 (write)
    before += b"\xbf\x01\x00\x00\x00"  # mov edi, 1 (standard output)
    before += b"\x48\x8d\x35" + struct.pack("<i", len(after))  # lea rsi, [rip + distance to the text]
    return before + after


def _code_aarch64(length: int) -> bytes:
    """write(1, text, length); exit_group(0): the number goes into x8, arguments into x0, x1, x2."""

    def move(register: int, value: int, *, high: bool = False) -> int:
        """MOVZ (or MOVK for the upper 16 bits) of an immediate into a register."""
        return (0xF2A00000 if high else 0xD2800000) | (value & 0xFFFF) << 5 | register

    supervisor_call = 0xD4000001  # svc #0
    distance = 4 * 8  # from the adr instruction to the text
    words = (
        move(8, 64),  # mov x8, #64 (write)
        move(0, 1),  # mov x0, #1 (standard output)
        0x10000000 | (distance & 3) << 29 | (distance >> 2) << 5 | 1,  # adr x1, text
        move(2, length),  # mov x2, #length, lower half
        move(2, length >> 16, high=True),  # movk x2, #length, upper half
        supervisor_call,
        move(8, 94),  # mov x8, #94 (exit_group)
        move(0, 0),  # mov x0, #0
        supervisor_call,
        0xD503201F,  # nop, so that the text starts at a multiple of eight
    )
    return struct.pack(f"<{len(words)}I", *words)
