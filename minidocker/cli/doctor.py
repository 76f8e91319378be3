"""`doctor`: what this machine offers for containers, which tier that is, and how to get to the next one.

Acts: asks `minidocker.kernel.probe`; no server is needed. Chapter 16.
"""

from __future__ import annotations

import platform
import sys

from minidocker.cli.command import Command
from minidocker.cli.flags import STRING, Flag, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.kernel.probe import Feature
    from minidocker.spec.record import Json

__all__ = ["DOCTOR", "render_report"]

TITLES = {
    "linux": "Linux kernel", "root": "root", "namespaces": "namespaces", "userns": "user namespaces for everybody",
    "overlayfs": "overlayfs", "cgroup1": "control groups v1", "cgroup2": "control groups v2", "limits": "limits (memory, cpu, pids)",
    "nftables": "nftables packet filter", "bridge": "bridge", "veth": "veth pairs", "seccomp": "seccomp filters", "openat2": "openat2(2)",
    "memfd": "memfd_create(2)", "pidfd": "pidfd_open(2)", "devpts": "pseudo-terminals",
}  # fmt: skip
TIERS = {
    "T0": "lessons about images, protocol and plans; no containers on this machine",
    "T1": "containers in a user namespace, for lessons and tests",
    "T2": "everything",
}


def render_report(features: Mapping[str, Feature], tier: str, next_step: str) -> str:
    """Return the report for people: a line for each feature, the tier, and what to do for the next one."""
    width = max(map(len, TITLES.values()))
    lines = [f"Python {platform.python_version()} on {platform.system()} {platform.machine()}", ""]
    for name, feature in features.items():
        mark = "yes" if feature.available else "no "
        lines.append(f"  {mark}  {TITLES.get(name, name):<{width}}  {feature.reason}".rstrip())
        if not feature.available and feature.hint:
            lines.append(f"       {'':<{width}}  → {feature.hint}")
    lines += ["", f"Tier {tier}: {TIERS[tier]}."]
    if next_step:
        lines.append(f"Next: {next_step}.")
    return "\n".join(lines)


def doctor(session: Session, options: Options) -> int:
    """Report what this machine offers."""
    from minidocker.kernel.probe import compute_tier, probe_features

    form = options.text("format")
    if form not in ("", "text", "json"):
        raise UsageError(f'invalid argument "{form}" for "--format" flag: must be "text" or "json"')
    features = probe_features()
    tier, next_step = compute_tier(features)
    if form == "json":
        print(_render_json(features, tier, next_step))
        return 0
    print(render_report(features, tier, next_step))
    return 0


def _render_json(features: Mapping[str, Feature], tier: str, next_step: str) -> str:
    import json

    shown: dict[str, Json] = {
        name: {"Available": feature.available, "Reason": feature.reason, "Hint": "" if feature.available else feature.hint}
        for name, feature in features.items()
    }
    report = {"Python": platform.python_version(), "System": sys.platform, "Machine": platform.machine(), "Tier": tier, "Next": next_step}
    return json.dumps({**report, "Features": shown}, indent=4)


DOCTOR = Command("[OPTIONS]", doctor, (Flag("format", STRING, "Format output: text or json"),), maximum=0)
