"""What tests need of a machine, and what happens where it lacks it.

`@pytest.mark.requires("root", "docker")` skips a test with the name of what is missing and how to get it. On CI (`CI=true`) the
machine was prepared by `.ci/run`, so a skip there would hide a gap: it is a failure, unless its reason is in `MAY_SKIP_ON_CI`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from minidocker.kernel.probe import probe_features

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # not `explain`: it takes minutes and says little
SLOW = [HealthCheck.too_slow]  # how fast a machine is must not decide a test
settings.register_profile("dev", max_examples=50, deadline=None, phases=PHASES, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("ci", max_examples=100, deadline=None, phases=PHASES, derandomize=True, suppress_health_check=SLOW)
settings.register_profile("deep", max_examples=5000, deadline=None, phases=PHASES, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

PROGRAMS = {
    "docker": "docker.io", "dockerd": "docker.io", "containerd": "containerd", "nft": "nftables", "iptables": "iptables",
    "skopeo": "skopeo", "docker-registry": "docker-registry", "busybox": "busybox-static", "podman": "podman", "buildah": "buildah", "umoci": "umoci", "runc": "runc",
    "crun": "crun", "strace": "strace", "debootstrap": "debootstrap", "tmux": "tmux", "ps": "procps", "ip": "iproute2", "git": "git",
    "chromium": "chromium", "cpio": "cpio", "qemu-system-x86_64": "qemu-system-x86",
    "newuidmap": "uidmap",
}  # fmt: skip
"""Programs that a test may require, and the Debian package of each."""

MAY_SKIP_ON_CI = {
    r"needs `(docker-registry|podman|buildah|umoci|runc|crun|containerd|newuidmap|strace|debootstrap|tmux|chromium)`": "peers that not every distribution has",
    r"needs (cgroup1|cgroup2|limits|nftables|bridge|veth|overlayfs|userns|devpts|memfd|pidfd|openat2)\b": "up to the kernel",
    r"needs Pyodide": "the npm registry may be out of reach",
    r"needs overlayfs on the file system": "the temporary directory may itself lie on an overlay",
    r"needs an interpreter that other users may run": "an interpreter in somebody's home is their own",
    r"needs a block device": "virtual machines and containers may have none",
    r"no kernel headers|needs the header": "numbers are compared where the headers of the C library are installed",
    r"for this machine$|for machine": "a test of one processor's numbers",
    r"needs tier T": "exercises of a tier that this machine does not reach",
    r"only x86_64 has": "a test of one processor's numbers",
}
"""Reasons for a skip that even a prepared machine may have (regular expression), and why."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--chapter`."""
    parser.addoption("--chapter", type=int, metavar="N", help="only the tests of chapter N; with -v as sentences")


def pytest_configure(config: pytest.Config) -> None:
    """Read the tests as a book where that was asked for."""
    chapter = config.getoption("--chapter")
    if chapter is not None:
        from tests.prose import Prose

        config.pluginmanager.register(Prose(config, chapter), "prose")


def why_missing(feature: str) -> str:
    """Return what is missing for *feature* and how to get it; empty if it is there."""
    if feature in PROGRAMS:
        return "" if shutil.which(feature) else f"needs `{feature}`: apt-get install {PROGRAMS[feature]}"
    features = probe_features()
    wanted = ("cgroup1", "cgroup2") if feature == "cgroup" else (feature,)
    unknown = [name for name in wanted if name not in features]
    if unknown:
        raise pytest.UsageError(f"requires: there is no feature `{unknown[0]}`, only {', '.join([*features, 'cgroup', *PROGRAMS])}")
    if any(features[name].available for name in wanted):
        return ""
    found = features[wanted[-1]]
    return f"needs {feature}: " + "; ".join(part for part in (found.reason, found.hint) if part)


def features_of(item: pytest.Item) -> set[str]:
    """Return the features that a test names; everything below `linux/` and `compat/` needs Linux."""
    named = {str(feature) for marker in item.iter_markers("requires") for feature in marker.args}
    folder = Path(str(item.path)).parts
    return named | ({"linux"} if "linux" in folder or "compat" in folder else set())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, with every reason."""
    for item in items:
        reasons = [reason for feature in sorted(features_of(item)) if (reason := why_missing(feature))]
        if reasons:
            item.add_marker(pytest.mark.skip(reason="; ".join(reasons)))


def may_skip(reason: str) -> bool:
    """Whether a test may be left out for *reason*: everywhere but on CI, and there for the listed reasons only."""
    return not os.environ.get("CI") or any(re.search(pattern, reason) for pattern in MAY_SKIP_ON_CI)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that CI does not allow into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2])
        if not may_skip(reason):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: {reason}\nOn CI this must run: .ci/run prepares the machine (see {Path(__file__).name})"
    return report


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what cannot even be imported elsewhere than on Linux."""
    return True if sys.platform != "linux" and collection_path.name in ("linux", "compat") else None
