"""`docker build`: the files, the Dockerfile, the builder and the image store together.

Acting. The builder works in threads of its own; this one reads its events, passes them on and looks whether the client is still there:
a command that says nothing for an hour would otherwise run on for nobody. Whatever ends the build (success, a failure, a client that
went) ends here: the threads are waited for, and what no image and no cached result refers to is gone. Chapter 10.
"""

from __future__ import annotations

import json
import os
import queue
import select
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker.build.cache import CacheRecord
from minidocker.build.progress import Event, EventKind, OrderedEvents, render_classic, render_event
from minidocker.build.request import EPOCH_ARGUMENT, PROXY_ARGUMENTS, BuildRequest
from minidocker.build.solve import Plan, plan_build, solve
from minidocker.build.stage import StageResult, collect_offers, compute_image_id, finish_config
from minidocker.build.workshop import BuildCancelled
from minidocker.codec.tar import ByteSource
from minidocker.container.logs import format_time
from minidocker.dockerfile.check import Surroundings, check_dockerfile
from minidocker.dockerfile.instructions import Dockerfile
from minidocker.dockerfile.parser import parse_dockerfile
from minidocker.dockerfile.report import render_violation
from minidocker.dockerfile.rules import parse_check_options
from minidocker.engine.build_context import fetch_context, read_dockerfile, unpack_context
from minidocker.engine.images import parse_moment, publish_image_event
from minidocker.codec.idmap import IDENTITY
from minidocker.engine.remap import chown_tree
from minidocker.engine.workshop import EngineWorkshop, host_platform
from minidocker.errors import InvalidParameter, MinidockerError
from minidocker.ids import short_id
from minidocker.image.ingest import Ingest
from minidocker.image.layer import layer_name
from minidocker.image.store import render_json
from minidocker.reference.reference import InvalidReference, Reference, parse_reference
from minidocker.spec.record import Json, render_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["BuildSource", "Style", "build_image", "cancel_build", "list_build_cache", "prune_build_cache"]

LOOK_S: Final = 0.25
"""How often it is looked whether the client is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSource:
    """Where the files come from."""

    body: ByteSource | None = None
    """An archive."""
    remote: str = ""
    named: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How the client wants to be told."""

    has_events: bool = False
    """Our own client; the others read the words of the classic builder."""
    quiet: bool = False
    client_fd: int = -1
    build_id: str = ""


def build_image(engine: Engine, request: BuildRequest, source: BuildSource, style: Style) -> Iterator[Json]:
    """Yield the progress of a build; the last objects say which image it made.

    Raises:
        DockerfileError, InvalidParameter: before anything was built.
    """
    names = tuple(_parse_tag(tag) for tag in request.tags)
    with ExitStack() as stack:
        ingest = stack.enter_context(engine.images.ingest())
        directory = ingest.new_temporary()
        if source.remote:
            directory = fetch_context(source.remote, directory, dockerfile=request.dockerfile)
        elif source.body is not None:
            unpack_context(source.body, directory)
        else:
            directory.mkdir(mode=0o755)
        if engine.ids is not IDENTITY:
            chown_tree(directory, engine.ids.root)
        file = parse_dockerfile(read_dockerfile(directory, request.dockerfile))
        platform = host_platform(engine)
        _require_style(file, request, platform)
        plan = plan_build(file, request, platform)
        workshop = EngineWorkshop(engine, ingest, request, {"": directory}, stack=stack)
        yield from _warn(plan, request, style)
        work = _Work(workshop, plan, request, platform)
        engine.builds[style.build_id or work.name] = workshop.cancel
        stack.callback(engine.builds.pop, style.build_id or work.name, None)
        try:
            yield from work.watch(style)
        finally:
            work.stop()
        result = work.take_result()
        yield from _finish(engine, ingest, request, result, names, style)


def _parse_tag(text: str) -> Reference:
    name = parse_reference(text)
    if name.digest:
        raise InvalidReference("refusing to create a tag with a digest reference")
    return name


class _Work:
    """The builder's threads, and the news from them."""

    def __init__(self, workshop: EngineWorkshop, plan: Plan, request: BuildRequest, platform: str) -> None:
        self._workshop, self._plan, self._request, self._platform = workshop, plan, request, platform
        self._news: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._result: StageResult | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="md:build", daemon=True)
        self.name = f"build-{id(self)}"
        self._thread.start()

    def _work(self) -> None:
        try:
            self._result = solve(
                self._plan, self._request, self._workshop, self._workshop.engine.build_cache, tell=self._news.put,
                compute_id=lambda result: compute_image_id(_render_config(result, {})), cancel=self._workshop.cancel,
                offered=_collect_offers(self._workshop, self._request), platform=self._platform,
            )  # fmt: skip
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that serves the client
            self._failure = error
        finally:
            self._news.put(None)

    def watch(self, style: Style) -> Iterator[Json]:
        """Yield what happens until the end; stop the build when its client has gone."""
        ordered = OrderedEvents(self._plan.wanted)
        render = _Renderer(self._plan, style)
        poll = select.poll()
        if style.client_fd >= 0:
            poll.register(style.client_fd, select.POLLRDHUP)
        while True:
            try:
                event = self._news.get(timeout=LOOK_S)
            except queue.Empty:
                if style.client_fd >= 0 and poll.poll(0):
                    return
                continue
            if event is None:
                break
            for told in [event] if style.has_events else ordered.put(event):
                yield from render(told)
        for told in ordered.flush():
            yield from render(told)
        if self._failure is not None:
            for line in render.unsaid:
                yield {"stream": line}

    def stop(self) -> None:
        """Wait for the threads; if there is no result yet, they are told to stop."""
        if self._result is None:
            self._workshop.cancel()
        self._thread.join()

    def take_result(self) -> StageResult:
        if self._failure is not None:
            raise self._failure
        if self._result is None:
            raise BuildCancelled("build cancelled")
        return self._result


class _Renderer:
    """Turns events into what this client reads."""

    def __init__(self, plan: Plan, style: Style) -> None:
        self._style, self._total = style, plan.step_count
        self.unsaid: list[str] = []
        """What a quiet client gets to read only if the build fails."""
        counts = [1 + len(plan.nodes[index].stage.instructions) for index in plan.wanted]
        self._first = {index: sum(counts[:place]) for place, index in enumerate(plan.wanted)}

    def __call__(self, event: Event) -> Iterator[Json]:
        if self._style.has_events:
            yield render_event(event)
            return
        for line in render_classic(event, first=self._first.get(event.stage, 0), total=self._total):
            if self._style.quiet:
                self.unsaid.append(line)
            else:
                yield {"stream": line}


def _require_style(file: Dockerfile, request: BuildRequest, platform: str) -> None:
    """Refuse a file that says `# check=error=true` and breaks a rule."""
    if parse_check_options(file.directives.check).is_error:
        given = {name: value for name, value in request.arguments.items() if value is not None}
        findings = check_dockerfile(file, Surroundings(build_args=given, platform=platform))
        if findings:
            raise InvalidParameter(render_violation(findings), hint="`build --check` shows where")


def _warn(plan: Plan, request: BuildRequest, style: Style) -> Iterator[Json]:
    unused = [name for name in plan.unused if name not in PROXY_ARGUMENTS and name != EPOCH_ARGUMENT]
    if unused and not style.quiet:
        text = f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed\n"
        yield render_event(Event(kind=EventKind.NOTE, text=text)) if style.has_events else {"stream": text}


def _collect_offers(workshop: EngineWorkshop, request: BuildRequest) -> dict[str, CacheRecord]:
    images = []
    for reference in request.cache_from:
        try:
            image = workshop.find_image(reference, platform="")
        except MinidockerError:  # a cache that is not there is an empty one
            continue
        images.append((image.config, image.layers))
    return collect_offers(images)


def _render_config(result: StageResult, labels: dict[str, str]) -> bytes:
    return render_json(render_record(finish_config(result, labels)))


def _finish(
    engine: Engine, ingest: Ingest, request: BuildRequest, result: StageResult, names: tuple[Reference, ...], style: Style
) -> Iterator[Json]:
    """Make the image, unless it exists already, and name it."""
    document = _render_config(result, dict(request.labels))
    image = engine.images.find(compute_image_id(document))
    if image is None:
        image = engine.images.commit(ingest, config=document, layers=[layer.blob for layer in result.layers], names=names)
    else:
        for name in names:
            if name not in image.names:
                engine.images.tag(image.id, name)
    for name in names:
        publish_image_event(engine, "tag", image, name=name.familiar)
    if style.quiet:
        yield {"stream": f"{image.id}\n"}
        return
    yield {"aux": {"ID": image.id}}
    if style.has_events:
        return
    yield {"stream": f"Successfully built {short_id(image.id)}\n"}
    for name in names:
        yield {"stream": f"Successfully tagged {name.familiar}\n"}


def cancel_build(engine: Engine, build_id: str) -> None:
    """Stop a build; one that is not there has ended."""
    cancel = engine.builds.get(build_id)
    if cancel is not None:
        cancel()


def prune_build_cache(
    engine: Engine, *, everything: bool = False, keep_bytes: int = 0, filters: Mapping[str, Sequence[str]] | None = None
) -> tuple[list[str], int]:
    """Forget results of builds, the least recently used first, until at most *keep_bytes* are left; return their ids and the bytes.

    Without *everything* only what was not used by the last build of its kind goes: here as in Docker's builder, all that no image
    has, which is all of it, because an image keeps its own layers.

    Raises:
        InvalidParameter: a filter that the cache does not know.
    """
    wanted = _select(engine, filters or {})
    total = sum(record.layer.size for record in wanted if record.layer is not None)
    removed: list[CacheRecord] = []
    for record in wanted:
        if keep_bytes and total <= keep_bytes:
            break
        total -= record.layer.size if record.layer is not None else 0
        removed.append(record)
    digests = {record.layer.blob.digest for record in removed if record.layer is not None}
    layers = {layer_name(record.chain_id) for record in removed if record.chain_id}
    engine.build_cache.remove({record.key for record in removed})
    before = _sizes(engine)
    engine.images.release(digests, layers)
    names, freed = engine.cache_mounts.prune() if everything or not filters else ([], 0)
    return [*(record.key for record in removed), *names], freed + max(0, before - _sizes(engine))


def _sizes(engine: Engine) -> int:
    """Return the bytes of all blobs and of the files in all layers."""
    content = engine.images.content
    blobs = sum(entry.stat().st_size for entry in os.scandir(content.blobs))
    return blobs + sum(_layer_size(content.layers / name) for name in content.list_layers())


def _layer_size(directory: Path) -> int:
    with suppress(OSError, ValueError):
        return int(json.loads((directory / "layer.json").read_bytes())["size"])
    return 0


def _select(engine: Engine, filters: Mapping[str, Sequence[str]]) -> list[CacheRecord]:
    unknown = set(filters) - {"until", "id", "unused-for", "type", "inuse", "shared", "private", "parent", "description"}
    if unknown:
        raise InvalidParameter(f"invalid filter '{min(unknown)}'")
    moments = [parse_moment(text) for text in (*filters.get("until", ()), *filters.get("unused-for", ()))]
    ids = filters.get("id", ())
    return [
        record for record in engine.build_cache.all()
        if all(record.last_used_ns < moment * 10**9 for moment in moments) and (not ids or any(record.key.startswith(i) for i in ids))
    ]  # fmt: skip


def list_build_cache(engine: Engine) -> list[Json]:
    """Return what the build cache holds, as `system df -v` lists it."""
    in_use = {layer.digest for image in engine.images.all() for layer in image.manifest.layers}
    return [
        {
            "ID": record.key[:25], "Type": "regular", "Description": record.parts.instruction[:200], "Shared": False,
            "InUse": record.layer is not None and record.layer.blob.digest in in_use, "Size": record.layer.size if record.layer else 0,
            "CreatedAt": record.created, "LastUsedAt": format_time(record.last_used_ns), "UsageCount": record.uses, "Parents": None,
        }
        for record in engine.build_cache.all()
    ]  # fmt: skip
