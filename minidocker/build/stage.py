"""One stage, from its FROM to its last instruction: look up, or carry out, and go on.

Acting, through the workshop. For each instruction: what does it say now (`apply_instruction`), what is its key, is there a
result? Only without one something happens to files, and what happened is kept at once, so that a build that fails in its tenth
step begins there the next time. Chapter 10.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from minidocker.build.cache import BuildCache, CacheRecord, Layer
from minidocker.build.content import Digests
from minidocker.build.copy import LayerWriter, Treatment
from minidocker.build.key import KeyParts, compute_key, explain_miss, follow_key
from minidocker.build.lend import lend_mounts
from minidocker.build.progress import Event, EventKind
from minidocker.build.request import BuildRequest
from minidocker.build.sources import gather_sources, treat_files
from minidocker.build.stages import SCRATCH, StageNode, find_source
from minidocker.build.state import CopyFiles, MakeDirectory, RunCommand, StageState, Step, apply_instruction, begin_stage
from minidocker.build.tree import Tree
from minidocker.build.workshop import RunFailed, Workshop
from minidocker.dockerfile.instructions import Arg, Dockerfile, Instruction
from minidocker.dockerfile.mistake import DockerfileError, locate
from minidocker.dockerfile.parser import parse_instruction
from minidocker.errors import Forbidden, InvalidParameter, MinidockerError
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History, ImageConfig

__all__ = ["Job", "StageBuilder", "StageResult", "compute_image_id", "finish_config"]

KEY_COMMENT = "minidocker:"
"""In an image's history before the key of each step: what makes it usable for `--cache-from`."""
TAIL_LINES = 10
"""How many lines of output a failure repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What a stage came to."""

    state: StageState
    base: ImageConfig
    layers: tuple[Layer, ...]
    key: str
    history: tuple[History, ...]
    created: str


@dataclass(slots=True, kw_only=True)
class Job:
    """What all stages of a build share."""

    workshop: Workshop
    cache: BuildCache
    request: BuildRequest
    file: Dockerfile
    nodes: Sequence[StageNode]
    defaults: Mapping[str, str]
    """ARGs of the whole file, and the platforms."""
    tell: Callable[[Event], None]
    wait_stage: Callable[[int], StageResult]
    compute_id: Callable[[StageResult], str]
    platform: str = ""
    digests: Digests = field(default_factory=Digests)
    offered: Mapping[str, CacheRecord] = field(default_factory=dict)
    """Results from the images of `--cache-from`."""

    def find_layers(self, name: str, index: int) -> tuple[Layer, ...]:
        """Return the files that `from=NAME` in stage *index* means, apart from named contexts with files."""
        found = find_source(name, [node.stage.name for node in self.nodes], index, tuple(self.request.contexts))
        if found is not None:
            return self.wait_stage(found).layers
        return self.workshop.find_image(self.request.contexts.get(name, name).removeprefix("docker-image://"), platform="").layers

    def has_files(self, name: str) -> bool:
        """Whether a name means a context with files: the build context itself, or one of `--build-context`."""
        return not name or (name in self.request.contexts and not self.request.contexts[name].startswith("docker-image://"))


class StageBuilder:
    """Builds one stage."""

    def __init__(self, job: Job, node: StageNode) -> None:
        """Build *node* of *job*."""
        self._job, self._node = job, node
        self._count = 1 + len(node.stage.instructions)
        self._result: StageResult
        self._output: deque[str] = deque(maxlen=TAIL_LINES)

    def build(self) -> StageResult:
        """Carry the stage out.

        Raises:
            DockerfileError: an instruction that cannot be carried out, with its place.
            RunFailed: a command failed.
            BuildCancelled: nobody waits any more.
        """
        base = self._node.stage.base
        began = time.monotonic()
        self._tell(EventKind.STARTED, 1, text=base.text or f"FROM {base.image}")
        triggers = self._begin()
        self._tell(EventKind.DONE, 1, image_id=self._job.compute_id(self._result), seconds=time.monotonic() - began)
        if triggers:
            self._count += len(triggers)
            self._tell(EventKind.NOTE, text=f"# Executing {len(triggers)} build trigger{'s' if len(triggers) > 1 else ''}\n")
        for number, instruction in enumerate((*triggers, *self._node.stage.instructions), start=2):
            self._job.workshop.check()
            self._build_step(number, instruction)
        self._tell(EventKind.STAGE_ENDED)
        return self._result

    def _tell(self, kind: EventKind, number: int = 0, **values: object) -> None:
        event = Event(kind=kind, stage=self._node.index, title=self._node.title, number=number, count=self._count)
        self._job.tell(replace(event, **values))  # type: ignore[arg-type]  # fields of Event

    def _begin(self) -> tuple[Instruction, ...]:
        """Take the base; return the triggers that it left for whoever builds on it."""
        job, base = self._job, self._node.stage.base
        if self._node.parent is not None:
            before = job.wait_stage(self._node.parent)
            inherited = {name: before.state.scope[name] for name in before.state.arguments}
            state = begin_stage(before.state.config, arguments=inherited, escape=job.file.directives.escape, author=before.state.author)
            self._result = replace(before, state=state)
            on_build: tuple[str, ...] = before.state.config.on_build
        elif base.image == SCRATCH:
            state = begin_stage(ContainerConfig(working_dir="/"), escape=job.file.directives.escape)
            system, _, rest = (base.platform or job.platform).partition("/")
            architecture, _, variant = rest.partition("/")
            empty = ImageConfig(os=system, architecture=architecture, variant=variant)
            self._result = StageResult(
                state=state, base=empty, layers=(), key=follow_key("", SCRATCH, base.platform or job.platform), history=(), created=""
            )
            return ()
        else:
            reference = job.request.contexts.get(base.image, base.image).removeprefix("docker-image://")
            image = job.workshop.find_image(reference, platform=base.platform or job.request.platform)
            state = begin_stage(image.config.config, escape=job.file.directives.escape, author=image.config.author)
            self._result = StageResult(
                state=state, base=image.config, layers=image.layers, key=follow_key("", image.id), history=image.config.history,
                created=image.config.created,
            )  # fmt: skip
            on_build = image.config.config.on_build
        return tuple(parse_instruction(text) for text in on_build)

    def _build_step(self, number: int, instruction: Instruction) -> None:
        began = time.monotonic()
        text = instruction.text or type(instruction).__name__.upper()
        self._tell(EventKind.STARTED, number, text=text)
        try:
            step = apply_instruction(
                instruction, self._result.state, given=self._job.request.arguments, defaults=self._job.defaults
            )
            if isinstance(instruction, Arg):
                self._advance(step, key=self._result.key, created=self._result.created, layer=None)
                news: dict[str, object] = {"kind": EventKind.DONE}
            else:
                news = self._carry_out(number, step)
        except DockerfileError as error:
            self._fail(number, error)
            raise locate(error, instruction.span, self._job.file.lines, prefix="") from None
        except MinidockerError as error:
            self._fail(number, error)
            raise
        kind = news.pop("kind")
        assert isinstance(kind, EventKind)
        self._tell(kind, number, image_id=self._job.compute_id(self._result), seconds=time.monotonic() - began, **news)

    def _fail(self, number: int, error: MinidockerError) -> None:
        tail = "".join(self._output).splitlines()[-TAIL_LINES:] if isinstance(error, RunFailed) else []
        self._tell(EventKind.FAILED, number, text="\n".join((str(error), *(f"> {line}" for line in tail))))

    def _carry_out(self, number: int, step: Step) -> dict[str, object]:
        """Find or make the result of a step; return what is to be told about it."""
        job = self._job
        with ExitStack() as stack:
            parts, perform, container_id = self._prepare(step, stack, number)
            key = compute_key(parts)
            state_key = key if parts.parent else follow_key(self._result.key, key)
            created, now_ns = job.workshop.now()
            if job.request.epoch is not None:
                created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.request.epoch))
            record = None if job.request.no_cache else job.cache.find(key, now_ns=now_ns) or job.offered.get(key)
            if record is not None and (record.layer is None or job.workshop.holds(record.layer)):
                if key in job.offered:
                    job.cache.add(replace(record, parts=parts, last_used_ns=now_ns))
                self._advance(step, key=state_key, created=record.created, layer=record.layer)
                return {"kind": EventKind.CACHED, "why": f"hit: nothing that it depends on changed since {record.created}"}
            why = "--no-cache" if job.request.no_cache else explain_miss(parts, (record.parts for record in job.cache.all()))
            if container_id:
                self._tell(EventKind.RUNNING, number, container_id=container_id)
            layer, chain_id = perform()
            record = CacheRecord(key=key, parts=parts, created=created, layer=layer, chain_id=chain_id, last_used_ns=now_ns)
            job.cache.add(record)
            self._advance(step, key=state_key, created=created, layer=layer)
            return {"kind": EventKind.DONE, "why": f"miss: {why}", "container_id": container_id}

    def _advance(self, step: Step, *, key: str, created: str, layer: Layer | None) -> None:
        before = self._result
        comment = f"{KEY_COMMENT}{key}" if key != before.key else ""
        line = History(created=created, created_by=step.history, author=step.state.author, comment=comment, empty_layer=layer is None)
        self._result = replace(
            before, state=step.state, key=key, created=created or before.created,
            history=(*before.history, *([line] if step.history else [])),
            layers=(*before.layers, layer) if layer is not None else before.layers,
        )  # fmt: skip

    def _prepare(self, step: Step, stack: ExitStack, number: int) -> tuple[KeyParts, Callable[[], tuple[Layer | None, str]], str]:
        """Return what a step depends on, how to carry it out, and the id of its container if it has one."""
        options = {"epoch": str(self._job.request.epoch)} if self._job.request.epoch is not None else {}
        parts = KeyParts(parent=self._result.key, instruction=step.said, options=options)
        match step.operation:
            case RunCommand():
                return self._prepare_run(step.operation, parts, number)
            case CopyFiles():
                return self._prepare_copy(step.operation, parts, stack)
            case MakeDirectory():
                path = step.operation.path
                return parts, lambda: self._make_directory(path), ""
            case None:
                return parts, lambda: (None, ""), ""

    def _make_directory(self, path: str) -> tuple[Layer | None, str]:
        user = self._result.state.config.user

        def fill(upper_fd: int, lower_fds: Sequence[int]) -> None:
            owner = self._job.workshop.resolve_owner(user or "0:0", Tree(lower_fds))
            with LayerWriter(upper_fd, lower_fds, Treatment(owner=owner, epoch=self._job.request.epoch)) as writer:
                writer.make_directory(path)

        return self._job.workshop.make_layer(self._result.layers, fill, epoch=self._job.request.epoch)

    def _prepare_run(
        self, command: RunCommand, parts: KeyParts, number: int
    ) -> tuple[KeyParts, Callable[[], tuple[Layer | None, str]], str]:
        request = self._job.request
        for asked, grant in ((command.network == "host", "network.host"), (command.security == "insecure", "security.insecure")):
            if asked and grant not in request.grants:
                raise Forbidden(f"{grant} is not allowed", hint=f"build with --allow {grant} if you trust this Dockerfile")
        lent, content = lend_mounts(self._job, self._node.index, command)
        arguments = {name: self._result.state.scope[name] for name in self._result.state.arguments}
        network = request.host_config.network_mode
        options = {**parts.options, **({"network": network} if network not in ("", "default") else {})}
        parts = replace(parts, arguments=arguments, content=content, options=options)
        container_id = secrets.token_hex(32)

        def output(stream: int, data: bytes) -> None:
            text = data.decode("utf-8", "replace")
            self._output.append(text)
            self._tell(EventKind.OUTPUT, number, text=text, stream=stream)

        def perform() -> tuple[Layer | None, str]:
            self._output.clear()
            return self._job.workshop.run(
                command, self._result.layers, lent, container_id=container_id, output=output, epoch=request.epoch
            )

        return parts, perform, container_id

    def _prepare_copy(
        self, files: CopyFiles, parts: KeyParts, stack: ExitStack
    ) -> tuple[KeyParts, Callable[[], tuple[Layer | None, str]], str]:
        job, instruction = self._job, files.instruction
        sources = gather_sources(job, self._node.index, instruction, stack)
        treatment = treat_files(job, instruction, self._result.layers)
        content = {
            source.label: job.digests.compute(source.tree, source.names, excluded=treatment.excluded) for source in sources
        }
        options = dict(parts.options)
        if treatment.owner is not None:
            options["owner"] = f"{treatment.owner[0]}:{treatment.owner[1]}"
        parts = replace(parts, parent="" if instruction.link else parts.parent, content=content, options=options)
        below = () if instruction.link else self._result.layers

        def fill(upper_fd: int, lower_fds: Sequence[int]) -> None:
            with LayerWriter(upper_fd, lower_fds, treatment) as writer:
                writer.copy(sources, files.destination)

        return parts, lambda: job.workshop.make_layer(below, fill, epoch=job.request.epoch), ""


def finish_config(result: StageResult, labels: Mapping[str, str]) -> ImageConfig:
    """Return the configuration of the image that a stage came to."""
    config = result.state.config
    return replace(
        result.base, created=result.created, author=result.state.author or result.base.author, history=result.history,
        config=replace(config, labels={**config.labels, **labels}),
        rootfs=replace(result.base.rootfs, diff_ids=tuple(layer.diff_id for layer in result.layers)),
    )  # fmt: skip


def compute_image_id(document: bytes) -> str:
    """Return the id of the image with this configuration."""
    return f"sha256:{hashlib.sha256(document).hexdigest()}"


def collect_offers(images: Iterable[tuple[ImageConfig, tuple[Layer, ...]]]) -> dict[str, CacheRecord]:
    """Return the results that images of `--cache-from` bring along: their history names the key of each step.

    Raises:
        InvalidParameter: an image whose history does not fit its layers.
    """
    found: dict[str, CacheRecord] = {}
    for config, layers in images:
        remaining = list(layers)
        for line in config.history:
            if not line.empty_layer and not remaining:
                raise InvalidParameter("read cache: the history of an image has more layers than the image")
            layer = None if line.empty_layer else remaining.pop(0)
            if line.comment.startswith(KEY_COMMENT):
                key = line.comment.removeprefix(KEY_COMMENT)
                parts = KeyParts(parent="", instruction=line.created_by)
                found[key] = CacheRecord(key=key, parts=parts, created=line.created, layer=layer)
    return found
