"""`build` and `builder prune`. Acts.

To a server of ours goes a body that begins with what the Remote API has no words for (see `minidocker.api.build`), secrets above
all; what comes back are events. Any other server gets a plain archive, and its own words are shown. Chapter 14.
"""

from __future__ import annotations

import os
import sys

from minidocker.client.build_context import explain_context, open_context
from minidocker.cli.build_progress import choose_progress
from minidocker.cli.command import Command
from minidocker.client.fields import number_at, text_at, texts_at, value_at
from minidocker.cli.flags import BOOL, BYTES, INT, LIST, STRING, Flag
from minidocker.cli.session import SOURCE_HEADER
from minidocker.errors import HostError, InvalidParameter, NotSupported, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["BUILD", "BUILDER_PRUNE"]

BUILD_TYPE = "application/vnd.minidocker.build"
EPOCH = "SOURCE_DATE_EPOCH"


def build(session: Session, options: Options) -> int:
    """Build an image from a Dockerfile."""
    place, dockerfile = options.arguments[0], options.text("file")
    if options.switch("explain-context"):
        for line in explain_context(place, dockerfile):
            print(line)
        return 0
    if options.switch("check"):
        from minidocker.cli.build_check import check_build

        given = {name: value for name, value in _read_arguments(options).items() if value is not None}
        return check_build(session, place, dockerfile, given, platform=options.text("platform"))
    _check_caches(options)
    context = open_context(place, dockerfile)
    is_ours = SOURCE_HEADER in session.client().call("GET", "/_ping").headers
    query = _compose_query(options, context.dockerfile)
    if context.remote:
        query["remote"] = context.remote
    private = _compose_private(options)
    if not is_ours and any(private.values()):
        raise NotSupported("build: this server takes no secrets, agents, grants or named contexts over the Remote API", hint="use docker buildx")
    body: Iterable[bytes] = context.pieces or ()
    if is_ours:
        body = _prefix(private, body)
    kind = BUILD_TYPE if is_ours else "application/x-tar"
    answer = session.client().open("POST", "/build", query, iter(body), content_type=kind)
    try:
        image_id = _follow(answer.lines(), options)
    except BuildFailed as error:
        print(error.message, *([f"  {error.hint}"] if error.hint else []), sep="\n", file=sys.stderr)
        return error.exit_status
    if options.text("iidfile"):
        _write(options.text("iidfile"), image_id)
    if options.texts("output"):
        from minidocker.cli.build_output import write_outputs

        write_outputs(session, image_id, options.texts("output"), tags=options.texts("tag"))
    if options.switch("quiet"):
        print(image_id)
    return 0


def _compose_query(options: Options, dockerfile: str) -> dict[str, str | list[str]]:
    """Return what the classic builder's query can say."""
    import json

    arguments = _read_arguments(options)
    if os.environ.get(EPOCH):
        arguments.setdefault(EPOCH, os.environ[EPOCH])
    query: dict[str, str | list[str]] = {"dockerfile": dockerfile, "rm": "1", "version": "1", "t": options.texts("tag")}
    for key, mapping in (("buildargs", arguments), ("labels", options.mapping("label"))):
        if mapping:
            query[key] = json.dumps(mapping)
    sources = [_cache_source(text) for text in options.texts("cache-from")]
    if sources:
        query["cachefrom"] = json.dumps([source for source in sources if source])
    for flag, key in (
        ("target", "target"), ("platform", "platform"), ("network", "networkmode"), ("cpuset-cpus", "cpusetcpus"),
        ("cpuset-mems", "cpusetmems"), ("cgroup-parent", "cgroupparent"),
    ):  # fmt: skip
        if options.text(flag) and options.text(flag) != "default":
            query[key] = options.text(flag)
    for flag, key in (("no-cache", "nocache"), ("pull", "pull")):
        if options.switch(flag):
            query[key] = "1"
    for flag, key in (
        ("shm-size", "shmsize"), ("memory", "memory"), ("memory-swap", "memswap"), ("cpu-shares", "cpushares"),
        ("cpu-period", "cpuperiod"), ("cpu-quota", "cpuquota"),
    ):  # fmt: skip
        if options.number(flag):
            query[key] = str(options.number(flag))
    if options.texts("add-host"):
        query["extrahosts"] = [text.replace("=", ":", 1) for text in options.texts("add-host")]
    if options.texts("ulimit"):
        from minidocker.cli.run_values import read_ulimit

        query["ulimits"] = json.dumps([read_ulimit(text) for text in options.texts("ulimit")])
    return query


def _read_arguments(options: Options) -> dict[str, str | None]:
    """Return `--build-arg`; a name alone takes its value from the environment."""
    words = (word.partition("=") for word in options.texts("build-arg"))
    return {name: value if equals else os.environ.get(name) for name, equals, value in words}


def _check_caches(options: Options) -> None:
    """Refuse before anything is sent what no cache can be read from or written to."""
    for text in options.texts("cache-from"):
        _cache_source(text)
    for text in options.texts("cache-to"):
        if "=" not in text or _words(text, "cache-to").get("type") != "inline":
            raise NotSupported(f"--cache-to {text}: only the image itself can carry its cache", hint="use type=inline, and --cache-from IMAGE")


def _cache_source(text: str) -> str:
    """Return the image that `--cache-from` names, alone or as `type=registry,ref=IMAGE`."""
    if "=" not in text:
        return text
    words = _words(text, "cache-from")
    if words.get("type", "registry") != "registry":
        raise NotSupported(f"--cache-from {text}: only images can be caches", hint="use type=registry,ref=IMAGE")
    return words.get("ref", "")


def _words(text: str, flag: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in text.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise InvalidParameter(f'invalid argument "{text}" for "--{flag}" flag: expected key=value words')
    return {key.strip().lower(): value for key, _, value in pairs}


def _compose_private(options: Options) -> dict[str, Json]:
    """Return what only a server of ours takes."""
    secrets: dict[str, Json] = {}
    for text in options.texts("secret"):
        import base64

        name, content = _read_secret(text)
        secrets[name] = base64.b64encode(content).decode()
    agents: dict[str, Json] = {}
    for text in options.texts("ssh"):
        name, _, path = text.partition("=")
        path = path or os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise InvalidParameter(f"invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set (--ssh {text})")
        agents[name] = os.path.abspath(path)
    contexts: dict[str, Json] = dict(options.mapping("build-context"))
    for name, where in contexts.items():
        if not str(where).startswith("docker-image://"):
            raise NotSupported(f"--build-context {name}={where}: only docker-image://IMAGE is supported")
    return {"secrets": secrets, "agents": agents, "contexts": contexts, "grants": [*options.texts("allow")]}


def _read_secret(text: str) -> tuple[str, bytes]:
    """Return the name and the content of `id=NAME[,src=FILE|,env=VARIABLE]`."""
    words = _words(text, "secret")
    name = words.get("id") or os.path.basename(words.get("src") or words.get("source") or "")
    path, variable = words.get("src") or words.get("source"), words.get("env")
    if not name:
        raise InvalidParameter(f'invalid argument "{text}" for "--secret" flag: id is missing')
    if words.get("type") == "env" or (variable is None and path is None and name in os.environ):
        variable = variable or name
    if variable is not None:
        if variable not in os.environ:
            raise InvalidParameter(f"--secret {text}: the variable `{variable}` is not set")
        return name, os.environb[variable.encode()] if hasattr(os, "environb") else os.environ[variable].encode()
    try:
        with open(path or name, "rb") as file:
            return name, file.read()
    except OSError as error:
        raise HostError(f"failed to read secret `{name}`: {path or name}: {error.strerror}") from error


def _prefix(private: dict[str, Json], pieces: Iterable[bytes]) -> Iterator[bytes]:
    import json

    document = json.dumps(private).encode()
    yield len(document).to_bytes(8, "big") + document
    yield from pieces


def _follow(lines: Iterable[bytes], options: Options) -> str:
    """Show a build until it ends, and return the id of the image.

    Raises:
        BuildFailed: it did not make one.
    """
    import json

    progress = choose_progress("plain" if options.switch("explain-cache") else options.text("progress"), explain=options.switch("explain-cache"))
    image_id = ""
    try:
        for line in filter(None, map(bytes.strip, lines)):
            event: Json = json.loads(line)
            failure = text_at(event, "errorDetail", "message") or text_at(event, "error")
            if failure:
                raise BuildFailed(failure, hint=text_at(event, "hint"), code=number_at(event, "errorDetail", "code"))
            image_id = text_at(event, "aux", "ID") or image_id
            if options.switch("quiet"):
                image_id = image_id or text_at(event, "stream").strip()
            elif value_at(event, "build") is not None:
                progress.show(value_at(event, "build"))
            elif text_at(event, "stream"):
                sys.stdout.write(text_at(event, "stream"))
    finally:
        progress.finish()
    if not options.switch("quiet") and options.text("progress") not in ("json", "rawjson"):
        print(f"built {image_id}", *(f"tagged {tag}" for tag in options.texts("tag")), sep="\n", file=sys.stderr)
    return image_id


class BuildFailed(PeerError):
    """The server could not build; the program ends with the exit code of the command that failed."""

    def __init__(self, message: str, *, hint: str = "", code: int = 0) -> None:
        """Keep the exit code."""
        super().__init__(f"ERROR: failed to build: {message}", hint=hint)
        self.exit_status = code or 1


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise HostError(f"write {path}: {error.strerror}") from error


def prune_builder(session: Session, options: Options) -> int:
    """Forget results of builds."""
    from minidocker.cli.prune import confirm
    from minidocker.cli.units import render_size

    if not confirm(options, "all build cache" if options.switch("all") else "all dangling build cache"):
        return 0
    query: dict[str, str | list[str]] = {"all": "1"} if options.switch("all") else {}
    for flag in ("keep-storage", "max-used-space", "reserved-space"):
        if options.number(flag):
            query["keep-storage"] = str(options.number(flag))
    if options.texts("filter"):
        from minidocker.cli.containers import parse_filters

        query["filters"] = parse_filters(options.texts("filter"))
    report = session.client().post("/build/prune", query)
    removed = texts_at(report, "CachesDeleted")
    if removed:
        print("Deleted build cache objects:", *(name[:25] for name in removed), "", sep="\n")
    print(f"Total reclaimed space: {render_size(number_at(report, 'SpaceReclaimed'))}")
    return 0


BUILD = Command(
    "[OPTIONS] PATH | URL | -",
    build,
    (
        Flag("add-host", LIST, "Add a custom host-to-IP mapping (format: \"host:ip\")"),
        Flag("allow", LIST, 'Allow what a Dockerfile may not take for itself ("network.host", "security.insecure")'),
        Flag("build-arg", LIST, "Set build-time variables"),
        Flag("build-context", LIST, "Additional build contexts (e.g., name=docker-image://IMAGE)"),
        Flag("cache-from", LIST, 'External cache sources (e.g., "user/app:cache", "type=registry,ref=IMAGE")'),
        Flag("cache-to", LIST, 'Cache export destinations (an image carries its cache: "type=inline")'),
        Flag("cgroup-parent", STRING, "Set the parent cgroup for the RUN instructions during build"),
        Flag("check", BOOL, "Check the Dockerfile by the rules of good style, and build nothing"),
        Flag("compress", BOOL, "Compress the build context using gzip", hidden=True),
        Flag("cpu-period", INT, "Limit the CPU CFS period"),
        Flag("cpu-quota", INT, "Limit the CPU CFS quota"),
        Flag("cpu-shares", INT, "CPU shares (relative weight)", short="c"),
        Flag("cpuset-cpus", STRING, "CPUs in which to allow execution (0-3, 0,1)"),
        Flag("cpuset-mems", STRING, "MEMs in which to allow execution (0-3, 0,1)"),
        Flag("explain-cache", BOOL, "Say for each step why it was taken from the cache, or not"),
        Flag("explain-context", BOOL, "List each file of the context and the rule that kept or dropped it, and build nothing"),
        Flag("file", STRING, 'Name of the Dockerfile (default: "PATH/Dockerfile")', short="f"),
        Flag("force-rm", BOOL, "Always remove intermediate containers", hidden=True),
        Flag("iidfile", STRING, "Write the image ID to a file"),
        Flag("label", LIST, "Set metadata for an image"),
        Flag("memory", BYTES, "Memory limit", short="m"),
        Flag("memory-swap", BYTES, "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
        Flag("network", STRING, 'Set the networking mode for the "RUN" instructions during build', default="default"),
        Flag("no-cache", BOOL, "Do not use cache when building the image"),
        Flag("output", LIST, 'Output destination (format: "type=local,dest=path")', short="o"),
        Flag("platform", STRING, "Set target platform for build"),
        Flag("progress", STRING, 'Set type of progress output ("auto", "plain", "tty", "json")', default="auto"),
        Flag("pull", BOOL, "Always attempt to pull all referenced images"),
        Flag("quiet", BOOL, "Suppress the build output and print image ID on success", short="q"),
        Flag("rm", BOOL, "Remove intermediate containers after a successful build", default=True, hidden=True),
        Flag("secret", LIST, 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")'),
        Flag("shm-size", BYTES, 'Shared memory size for build containers'),
        Flag("ssh", LIST, 'SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")'),
        Flag("tag", LIST, 'Image identifier (format: "[registry/]repository[:tag]")', short="t"),
        Flag("target", STRING, "Set the target build stage to build"),
        Flag("ulimit", LIST, "Ulimit options"),
    ),
    minimum=1,
    maximum=1,
)
BUILDER_PRUNE = Command(
    "[OPTIONS]",
    prune_builder,
    (
        Flag("all", BOOL, "Include internal/frontend images", short="a"),
        Flag("filter", LIST, 'Provide filter values (e.g., "until=24h")'),
        Flag("force", BOOL, "Do not prompt for confirmation", short="f"),
        Flag("keep-storage", BYTES, "Amount of disk space to keep for cache", hidden=True),
        Flag("max-used-space", BYTES, "Maximum amount of disk space allowed to keep for cache"),
        Flag("reserved-space", BYTES, "Amount of disk space always allowed to keep for cache"),
    ),
    maximum=0,
)
