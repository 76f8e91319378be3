"""`version` and `info`: who answers, and what state it is in. Acts. Chapter 14."""

from __future__ import annotations

import sys

from minidocker import API_VERSION, VERSION
from minidocker.client.transport import DaemonError, ServerUnreachable
from minidocker.cli.command import Command
from minidocker.client.fields import list_at, map_at, maps_at, number_at, text_at, texts_at, value_at
from minidocker.cli.flags import STRING, Flag
from minidocker.cli.output import compile_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["INFO", "VERSION_COMMAND"]

GIB = 1024**3


def _client_version() -> dict[str, Json]:
    import platform

    machine = platform.machine()
    return {
        "Version": VERSION, "ApiVersion": API_VERSION, "DefaultAPIVersion": API_VERSION, "PythonVersion": platform.python_version(),
        "Os": sys.platform, "Arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine), "Context": "default",
    }  # fmt: skip


def version(session: Session, options: Options) -> int:
    """Show the version of the client, and of the server if there is one."""
    failure: DaemonError | ServerUnreachable | None = None
    server: Json = None
    try:
        server = session.client().get("/version")
    except (DaemonError, ServerUnreachable) as error:
        failure = error
    client = _client_version()
    if options.text("format"):
        print(compile_format(options.text("format"))({"Client": client, "Server": server}))
    else:
        print("\n".join(_client_lines(client)))
        if server is not None:
            print("\n".join(_server_lines(server)))
    if failure is not None:
        print(failure.message, file=sys.stderr)
    return 1 if failure else 0


def _client_lines(client: Json) -> Iterator[str]:
    yield "Client:"
    for title, key in (("Version:", "Version"), ("API version:", "ApiVersion"), ("Python version:", "PythonVersion")):
        yield f" {title:<18} {text_at(client, key)}"
    yield f" {'OS/Arch:':<18} {text_at(client, 'Os')}/{text_at(client, 'Arch')}"
    yield f" {'Context:':<18} {text_at(client, 'Context')}"


_ENGINE_LINES = (
    ("Version:", "Version"), ("API version:", "ApiVersion"), ("Go version:", "GoVersion"), ("Git commit:", "GitCommit"), ("Built:", "BuildTime"),
)  # fmt: skip


def _server_lines(server: Json) -> Iterator[str]:
    platform = text_at(server, "Platform", "Name")
    yield f"\nServer: {platform}".rstrip()
    components = maps_at(server, "Components") or [{"Name": "Engine", "Version": text_at(server, "Version")}]
    for component in components:
        name = text_at(component, "Name")
        yield f" {name}:"
        if name == "Engine":
            for title, key in _ENGINE_LINES:
                value = text_at(component, "Details", key) or text_at(server, key)
                if key == "ApiVersion":
                    minimum = text_at(component, "Details", "MinAPIVersion") or text_at(server, "MinAPIVersion")
                    value += f" (minimum version {minimum})"
                if value:
                    yield f"  {title:<17} {value}"
            yield f"  {'OS/Arch:':<17} {text_at(server, 'Os')}/{text_at(server, 'Arch')}"
            yield f"  {'Experimental:':<17} {str(bool(value_at(server, 'Experimental'))).lower()}"
        else:
            yield f"  {'Version:':<17} {text_at(component, 'Version')}"
            for key, detail in map_at(component, "Details").items():
                yield f"  {key + ':':<17} {detail}"


def info(session: Session, options: Options) -> int:
    """Show the state of the server and of its machine."""
    try:
        server = session.client().get("/info")
    except (DaemonError, ServerUnreachable) as error:
        if options.text("format"):
            raise
        print("\n".join(("Client:", f" Version:    {VERSION}", " Context:    default", " Debug Mode: false", "", "Server:")))
        print(f"{error.message}\nerrors pretty printing info", file=sys.stderr)
        return 1
    if options.text("format"):
        print(compile_format(options.text("format"))(server))
        return 0
    print("\n".join(("Client:", f" Version:    {VERSION}", " Context:    default", " Debug Mode: false", "", "Server:")))
    print("\n".join(f" {line}" for line in _info_lines(server)) + "\n")
    for warning in texts_at(server, "Warnings"):
        print(warning, file=sys.stderr)
    return 0


def _info_lines(server: Json) -> Iterator[str]:
    yield f"Containers: {number_at(server, 'Containers')}"
    for title in ("Running", "Paused", "Stopped"):
        yield f" {title}: {number_at(server, f'Containers{title}')}"
    yield f"Images: {number_at(server, 'Images')}"
    yield f"Server Version: {text_at(server, 'ServerVersion')}"
    yield f"Storage Driver: {text_at(server, 'Driver')}"
    for pair in list_at(server, "DriverStatus"):
        yield " " + ": ".join(texts_at({"": pair}, ""))
    yield f"Logging Driver: {text_at(server, 'LoggingDriver')}"
    yield f"Cgroup Driver: {text_at(server, 'CgroupDriver')}"
    yield f"Cgroup Version: {text_at(server, 'CgroupVersion')}"
    yield "Plugins:"
    for title in ("Volume", "Network", "Log"):
        yield f" {title}: {' '.join(texts_at(server, 'Plugins', title))}"
    yield f"Swarm: {text_at(server, 'Swarm', 'LocalNodeState') or 'inactive'}"
    yield f"Runtimes: {' '.join(map_at(server, 'Runtimes'))}"
    yield f"Default Runtime: {text_at(server, 'DefaultRuntime')}"
    yield "Security Options:"
    for option in texts_at(server, "SecurityOptions"):
        name, *rest = (field.partition("=")[2] if field.startswith("name=") else field for field in option.split(","))
        yield f" {name}"
        for field in rest:
            yield f"  {field.partition('=')[0].capitalize()}: {field.partition('=')[2]}"
    yield from _host_lines(server)


def _host_lines(server: Json) -> Iterator[str]:
    for title, key in (("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"), ("OSType", "OSType"), ("Architecture", "Architecture")):
        yield f"{title}: {text_at(server, key)}"
    yield f"CPUs: {number_at(server, 'NCPU')}"
    yield f"Total Memory: {number_at(server, 'MemTotal') / GIB:.4g}GiB"
    for title, key in (("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir")):
        yield f"{title}: {text_at(server, key)}"
    for title, key in (("Debug Mode", "Debug"), ("Experimental", "ExperimentalBuild")):
        yield f"{title}: {str(bool(value_at(server, key))).lower()}"
    registries = texts_at(server, "RegistryConfig", "InsecureRegistryCIDRs")
    if registries:
        yield "Insecure Registries:"
        for registry in registries:
            yield f" {registry}"
    yield f"Live Restore Enabled: {str(bool(value_at(server, 'LiveRestoreEnabled'))).lower()}"


_FORMAT = Flag("format", STRING, "Format output: json or a Go template", short="f")
VERSION_COMMAND = Command("[OPTIONS]", version, (_FORMAT,), maximum=0)
INFO = Command("[OPTIONS]", info, (_FORMAT,), maximum=0)
