"""What a reader may try on a page: text in, a piece of HTML out, computed by the real code.

Pure. The same functions run twice: while the book is built, for the text that stands on the page, and in the reader's browser for
whatever it is changed to. A mistake in the text is an answer too.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from minidocker.errors import InvalidParameter, MinidockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.build.stages import StageNode
    from minidocker.dockerfile.instructions import Dockerfile
    from minidocker.engine.packet_model import Model

__all__ = ["KINDS", "describe_network", "show"]

CHUNK_BYTES: Final = 11
"""How much of a stream arrives at once: not a multiple of anything, as in life."""
EXAMPLE_NETWORK: Final = ("172.17.0.0/16", "172.17.0.1")


def show(kind: str, text: str) -> str:
    """Return what playground *kind* says to *text*, as HTML; a text that means nothing gets the error that a user would see."""
    try:
        return KINDS[kind](text)
    except MinidockerError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        return _block(f"{error}{hint}", "play-problem")


def _block(text: str, css: str = "") -> str:
    return f'<pre class="{css}">{html.escape(text)}</pre>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a cell that begins with `*` is marked."""

    def cell(text: str) -> str:
        return f'<td class="play-mark">{html.escape(text[1:])}</td>' if text.startswith("*") else f"<td>{html.escape(text)}</td>"

    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


# -- chapter 7: names ----------------------------------------------------------------------------------------------------------


def _show_references(text: str) -> str:
    """Take one name a line apart."""
    from minidocker.reference import InvalidReference, parse_reference

    rows = []
    for line in filter(None, map(str.strip, text.splitlines())):
        try:
            found = parse_reference(line)
            rows.append([line, found.domain, found.path, found.tag or found.digest[:19], found.familiar])
        except InvalidReference as error:
            place = f", at character {error.position + 1}" if error.position >= 0 else ""
            rows.append([line, f"*{error}{place}", error.hint, "", ""])
    return _table(("you type", "registry", "repository", "tag or digest", "people read"), rows)


# -- chapter 4: layers ---------------------------------------------------------------------------------------------------------


def _show_layers(text: str) -> str:
    """Stack layers: a word alone begins one, `+ PATH` adds a file, `- PATH` deletes a name."""
    from minidocker.cli.layer_stack import ImageLayers, compute_reports
    from minidocker.codec.whiteout import render_whiteout
    from minidocker.spec.image import History, ImageConfig, RootFS

    layers: list[tuple[str, list[tuple[str, int, bool]]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        sign, _, path = line.partition(" ")
        path = "/" + path.strip().strip("/")
        if sign in "+-" and layers:
            layers[-1][1].append((path if sign == "+" else render_whiteout(path), 100 if sign == "+" else 0, False))
        else:
            layers.append((line, []))
    config = ImageConfig(
        history=tuple(History(created_by=name) for name, _ in layers), rootfs=RootFS(diff_ids=tuple(f"sha256:{'0' * 64}" for _ in layers)),
    )  # fmt: skip
    reports = compute_reports(ImageLayers(names=(), config=config, layers=tuple(layers)))
    rows, seen = [], dict[str, str]()
    for (name, entries), report in zip(layers, reports, strict=True):
        for path, _ in report.hidden:
            seen.pop(path, None)
        seen |= {path: name for path, _ in (*report.added, *report.changed)}
        rows.append([name, _list(path for path, _, _ in entries), _list(p for p, _ in report.changed), _list(p for p, _ in report.hidden), _list(sorted(seen))])
    files = sum(len(entries) for _, entries in layers)
    wasted = sum(report.wasted for report in reports) // 100
    return _table(("layer", "its archive holds", "replaces", "hides", "what is seen from here"), rows) + _block(
        f"{files} entries travel with every pull; {wasted} of the files in them are never seen again"
    )


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "—"


# -- chapters 9 and 10: Dockerfiles ---------------------------------------------------------------------------------------------


def _show_dockerfile(text: str) -> str:
    """Show statements, stages, and the cache key of every step; `# file NAME CONTENT` puts a file into the context."""
    from minidocker.build.stages import compute_global_arguments, find_target, plan_stages, required_stages
    from minidocker.dockerfile.check import check_dockerfile
    from minidocker.dockerfile.lexer import read_directives, read_statements, split_lines
    from minidocker.dockerfile.parser import parse_dockerfile
    from minidocker.dockerfile.report import render_check

    file = parse_dockerfile(text)
    lines = split_lines(text)
    directives, start = read_directives(lines)
    words = []
    for statement in read_statements(lines, directives.escape, start=start):
        span = statement.span
        heredocs = ", ".join(f"{h.name} ({len(h.content.splitlines())} lines)" for h in statement.heredocs)
        words.append([f"{span.first}–{span.last}" if span.last > span.first else str(span.first), statement.name, statement.text.partition(" ")[2], heredocs])
    defaults = compute_global_arguments(file, {}, {"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64"})
    nodes = plan_stages(file, defaults)
    needed = required_stages(nodes, find_target(nodes, "").index)
    stages = [
        [node.title, node.stage.base.image, _list(nodes[n].title for n in sorted(node.needs)), "yes" if node.index in needed else "*skipped: nothing needs it"]
        for node in nodes
    ]
    findings = check_dockerfile(file)
    return (
        _table(("line", "instruction", "the rest, joined", "heredocs"), words)
        + _table(("stage", "begins with", "needs", "is built"), stages)
        + _table(("stage", "step", "cache key"), _compute_keys(text, file, nodes, defaults))
        + (_block(render_check(findings, file.lines)) if findings else "")
    )


def _compute_keys(text: str, file: Dockerfile, nodes: Sequence[StageNode], defaults: dict[str, str]) -> Iterator[list[str]]:
    """Yield stage, step and key as the builder computes them; what a step reads is the context that the comments describe."""
    from minidocker.build.key import KeyParts, compute_key, follow_key
    from minidocker.build.state import CopyFiles, RunCommand, StageState, apply_instruction, begin_stage
    from minidocker.dockerfile.instructions import Arg
    from minidocker.dockerfile.mistake import DockerfileError, locate
    from minidocker.spec.container import ContainerConfig

    context = {name: content for line in text.splitlines() if line.startswith("# file ") for name, _, content in [line[7:].partition(" ")]}
    ends: dict[str, tuple[str, StageState]] = {}
    for node in nodes:
        base = node.stage.base.image
        key, state = ends.get(base.lower()) or (follow_key("", base), begin_stage(ContainerConfig(), escape=file.directives.escape))
        for instruction in node.stage.instructions:
            try:
                step = apply_instruction(instruction, state, given={}, defaults=defaults)
            except DockerfileError as error:
                raise locate(error, instruction.span, file.lines) from None
            state = step.state
            if isinstance(instruction, Arg):
                continue  # it shows in the keys of the RUNs that see it
            parts = KeyParts(parent=key, instruction=step.said)
            if isinstance(step.operation, RunCommand):
                parts = replace(parts, arguments={name: state.scope[name] for name in state.arguments})
            if isinstance(step.operation, CopyFiles):
                copied = step.operation.instruction
                stage = getattr(copied, "from_", "")
                names = [name for source in copied.sources for name in (context if source in (".", "./") else [source])]
                content = {name: ends[stage][0] if stage in ends else _digest(context.get(name, "")) for name in names}
                parts = replace(parts, parent="" if copied.link else key, content=content)
            own = compute_key(parts)
            key = own if parts.parent else follow_key(key, own)
            yield [node.title, instruction.text.splitlines()[0], own[:16]]
        ends[node.stage.name or str(node.index)] = (key, state)
        ends[str(node.index)] = (key, state)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# -- chapters 16 and 17: a container ----------------------------------------------------------------------------------------------


def _show_container(text: str) -> str:
    """Make a container on the model of Linux, step by step; the text is a command line of `minidocker run`."""
    from minidocker.cli.main import main

    try:
        words = shlex.split(text.replace("\\\n", " "), comments=True)
    except ValueError as error:
        raise InvalidParameter(f"read the command line: {str(error).lower()}") from None
    words = words[next((n for n, word in enumerate(words) if word == "run"), -1) + 1 :]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(["run", "--simulate", *words])
    return _block(out.getvalue(), "play-problem" if status else "")


# -- chapter 12: frames ---------------------------------------------------------------------------------------------------------


def _show_frames(text: str) -> str:
    """Send lines `stdout TEXT` and `stderr TEXT` as frames, and read them from a connection that cuts where it likes."""
    from minidocker.codec.frames import FrameDecoder, Stream, encode_frame

    stream = b""
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        stream += encode_frame(Stream.STDERR if name == "stderr" else Stream.STDOUT, f"{rest}\n".encode())
    decoder, rows = FrameDecoder(), []
    for start in range(0, len(stream), CHUNK_BYTES):
        piece = stream[start : start + CHUNK_BYTES]
        frames = decoder.feed(piece)
        rows.append([piece.hex(" "), _list(f"{frame.stream.name.lower()} {frame.payload.decode()!r}" for frame in frames), str(decoder.pending_bytes)])
    return _table((f"{CHUNK_BYTES} bytes arrive", "frames that are complete now", "bytes kept"), rows)


# -- chapter 18: the way of a packet ---------------------------------------------------------------------------------------------


def _show_packet(text: str) -> str:
    """Walk a packet: `container NAME ADDRESS [HOSTPORT:PORT …]` describes one, `trace SOURCE DESTINATION` asks."""
    from minidocker.engine.packet_model import render_trace

    model, questions = describe_network(text)
    return "".join(_block(render_trace(model, source, destination, "tcp")) for source, destination in questions)


def describe_network(text: str) -> tuple[Model, list[tuple[str, str]]]:
    """Return the host with the containers that *text* names, in one network, and the packets that it asks about.

    Raises:
        InvalidParameter: a line is neither `container` nor `trace`.
    """
    from minidocker.container.record import ContainerRecord, PublishedPort
    from minidocker.engine.endpoint import EXAMPLE_ENDPOINT
    from minidocker.engine.packet_model import Model, add_container
    from minidocker.network.bridge import Bridge
    from minidocker.network.rules import Forward, plan_table
    from minidocker.simulator.machine import EXAMPLE_FACTS, boot
    from minidocker.spec.container import ContainerConfig, HostConfig

    records: list[ContainerRecord] = []
    forwards: list[Forward] = []
    questions: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match line.split():
            case ["container", name, address, *ports]:
                pairs = [_read_ports(port) for port in ports]
                forwards += [Forward(protocol="tcp", host_ip="", host_port=a, container_ip=address, container_port=b) for a, b in pairs]
                published = tuple(PublishedPort(container_port=b, protocol="tcp", host_ip="", host_port=a) for a, b in pairs)
                number = len(records) + 2
                mac = f"02:42:ac:11:00:{number:02x}"
                end = replace(EXAMPLE_ENDPOINT, address=address, mac_address=mac, host_link=f"veth{number}", endpoint_id=str(number), ports=published)
                around = {"created": "", "image_id": "", "config": ContainerConfig(), "host_config": HostConfig()}
                records.append(ContainerRecord(id=f"{number:x}" * 64, name=name, endpoints=(end,), **around))  # type: ignore[arg-type]
            case ["trace", source, destination]:
                questions.append((source, destination))
            case _:
                raise InvalidParameter(f"`{line}` says nothing", hint="a line is `container NAME ADDRESS [HOSTPORT:PORT …]` or `trace SOURCE DESTINATION`")
    linux, pid = boot(EXAMPLE_FACTS)
    number, net = linux.net_of(pid)
    bridge = Bridge(name="minidocker0", subnet=EXAMPLE_NETWORK[0], gateway=EXAMPLE_NETWORK[1])
    model = Model(linux=linux.with_namespace(number, replace(net, tables=(plan_table("minidocker", (bridge,), forwards),))), monitor=pid)
    for record in records:
        model = add_container(model, record)
    return model, questions


def _read_ports(text: str) -> tuple[int, int]:
    outer, _, inner = text.partition(":")
    if not (outer.isdecimal() and inner.isdecimal() and len(text) < 12):
        raise InvalidParameter(f"`{text}` are no ports", hint="a published port is HOSTPORT:PORT")
    return int(outer), int(inner)


# -- chapter 9: what is sent ------------------------------------------------------------------------------------------------------


def _show_ignored(text: str) -> str:
    """Decide about paths: rules of a `.dockerignore`, a line `---`, then one path a line."""
    from minidocker.dockerfile.ignore import Verdict, decide, parse_ignore_file

    written, _, paths = text.partition("\n---\n")
    rules = parse_ignore_file(written)
    rows = []
    for path in filter(None, map(str.strip, paths.splitlines())):
        verdict = Verdict()
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            verdict = decide(rules, "/".join(parts[:depth]), verdict)
        why = f"line {verdict.rule.line}: {verdict.rule.text}" if verdict.rule else "no rule speaks about it"
        rows.append([path, "*stays here" if verdict.is_ignored else "is sent", why])
    return _table(("path", "", "because of"), rows)


KINDS: Final[dict[str, Callable[[str], str]]] = {
    "container": _show_container,
    "dockerfile": _show_dockerfile,
    "frames": _show_frames,
    "ignore": _show_ignored,
    "layers": _show_layers,
    "packet": _show_packet,
    "references": _show_references,
}
