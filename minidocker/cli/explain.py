"""`run --explain`, `run --dry-run` and `explain`: print the steps of a container, with reasons and chapters.

With a server the plan is the server's own, from its image and its machine. With `--dry-run` there is none: the plan is computed
here, on any system, for a plain Linux with cgroup v2; the image's defaults are unknown then, and said so. Chapter 16.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

from minidocker.codec.idmap import IdMap
from minidocker.cgroup.layout import EXAMPLE_LAYOUT
from minidocker.cgroup.limits import check_resources, plan_cgroup, plan_device_rules, plan_join, plan_limits, plan_view
from minidocker.cli.command import Command
from minidocker.cli.flags import STRING, Flag
from minidocker.container.host import EXAMPLE_HOST
from minidocker.container.mounts import parse_bind, parse_mount_request, parse_tmpfs
from minidocker.container.devices import DEFAULT_DEVICES, device_rules
from minidocker.container.plan import Surroundings, compute_granted_capabilities, plan_container
from minidocker.container.record import ContainerRecord, MountPoint
from minidocker.container.seccomp import compile_profile, default_profile, parse_profile
from minidocker.engine.endpoint import EXAMPLE_ENDPOINT, plan_endpoints
from minidocker.errors import InvalidParameter
from minidocker.ids import short_id
from minidocker.kernel.explain import explain_steps
from minidocker.kernel.shell import render_shell
from minidocker.kernel.steps import Step
from minidocker.spec.container import HostConfig, read_create_request
from minidocker.spec.record import Json, read_record, render_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.client.transport import Transport
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["EXPLAIN", "explain_run", "plan_dry_run", "render_plan"]

FORMS = ("text", "json", "shell")

EXAMPLE_ID = "0123456789ab" + "0" * 52
"""The id of a container that is never made."""
UNKNOWN_COMMAND = ("(the image's command)",)
EXAMPLE_DIRECTORY = f"/var/lib/minidocker/containers/{EXAMPLE_ID}"


def explain_run(body: dict[str, Json], image: str, dry_run: bool, form: str, client: Transport | None) -> None:
    """Print the plan for the create request *body*: to standard output for a dry run, else beside the container's output.

    Raises:
        InvalidParameter: a *form* other than those of `render_plan`.
    """
    _require_form(form)
    steps = plan_dry_run(body) if client is None else _read_steps(client.post("/minidocker/explain", body=body))
    text = render_plan(steps, form)
    if dry_run and form == "text":
        text = f"# the steps of a container from image `{image}`, on a plain Linux with cgroup v2; nothing was done\n{text}"
    (sys.stdout if dry_run else sys.stderr).write(text)


def render_plan(steps: tuple[Step, ...], form: str) -> str:
    """Return *steps* as a table with reasons (`text`), as data (`json`) or as a script (`shell`)."""
    match form:
        case "json":
            return json.dumps([render_record(step) for step in steps], indent=2) + "\n"
        case "shell":
            return render_shell(steps)
        case _:
            return explain_steps(steps)


def _require_form(form: str) -> None:
    if form not in FORMS:
        raise InvalidParameter(f"explain as `{form}`: there are {', '.join(f'`{word}`' for word in FORMS)}")


def explain_container(session: Session, options: Options) -> int:
    """Print the steps that made a container, or that will make one that does not run."""
    _require_form(options.text("form"))
    answer = session.client().get(f"/minidocker/{options.arguments[0]}/explain")
    sys.stdout.write(render_plan(_read_steps(answer), options.text("form")))
    return 0


def _read_steps(answer: Json) -> tuple[Step, ...]:
    return tuple(read_record(Step, step) for step in answer) if isinstance(answer, list) else ()  # type: ignore[arg-type]  # a union


def plan_dry_run(body: dict[str, Json], *, ids: IdMap | None = None) -> tuple[Step, ...]:
    """Return the steps of *body* on the example machine; with *ids* under a server that was started with `--userns-remap`."""
    request = read_create_request(body)
    config, host_config = request.config, request.host_config
    check_resources(host_config, cpus=EXAMPLE_HOST.cpus * 1024)
    record = ContainerRecord(
        id=EXAMPLE_ID, name="example", created="", image_id="", layers=("layer-of-the-image",), host_config=host_config,
        endpoints=(EXAMPLE_ENDPOINT,) if host_config.network_mode in ("", "default", "bridge") else (),
        config=replace(config, hostname=config.hostname or short_id(EXAMPLE_ID), cmd=config.cmd or UNKNOWN_COMMAND),
        mounts=tuple(_plan_mounts(host_config)),
    )  # fmt: skip
    name = f"minidocker/{EXAMPLE_ID}"
    rules = device_rules(DEFAULT_DEVICES, host_config.device_cgroup_rules)
    devices = () if host_config.privileged else plan_device_rules(EXAMPLE_LAYOUT, name, rules)
    around = Surroundings(
        directory=EXAMPLE_DIRECTORY, layers_directory="/var/lib/minidocker/layers",
        cgroup_setup=(*plan_cgroup(EXAMPLE_LAYOUT, name), *plan_limits(host_config, EXAMPLE_LAYOUT, name), *devices),
        cgroup_join=plan_join(EXAMPLE_LAYOUT, name), cgroup_view=plan_view(EXAMPLE_LAYOUT, writable=host_config.privileged),
        network=plan_endpoints(record.endpoints), seccomp_program=_plan_filter(record),
        ids=ids,
    )  # fmt: skip
    return plan_container(record, EXAMPLE_HOST, around)


def _plan_mounts(host: HostConfig) -> Iterator[MountPoint]:
    """Yield the mounts as they would be on the example machine, where every source is a directory."""
    asked = (*map(parse_bind, host.binds), *map(parse_mount_request, host.mounts), *(parse_tmpfs(*item) for item in host.tmpfs.items()))
    for number, mount in enumerate(asked):
        name = mount.name or f"anonymous{number}"
        yield replace(mount, source=f"/var/lib/minidocker/volumes/{name}/_data", name=name) if mount.type == "volume" else mount


def _plan_filter(record: ContainerRecord) -> bytes:
    """Return the program of the system call filter; empty for none."""
    choice = next((o.partition("=")[2] for o in record.host_config.security_opt if o.startswith("seccomp=")), "builtin")
    if record.host_config.privileged or choice == "unconfined":
        return b""
    profile = default_profile() if choice in ("builtin", "default") else parse_profile(choice)
    capabilities = frozenset(compute_granted_capabilities(record, EXAMPLE_HOST))
    return compile_profile(profile, capabilities=capabilities, machine=EXAMPLE_HOST.machine, kernel=EXAMPLE_HOST.kernel)


EXPLAIN = Command(
    "[OPTIONS] CONTAINER", explain_container, (Flag("form", STRING, "How to show the steps: text, json or shell", default="text"),), minimum=1, maximum=1
)
