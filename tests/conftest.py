"""What tests need of a machine, and what happens where it lacks it.

`@pytest.mark.requires("root", "docker")` skips a test with the name of what is missing and how to get it. On CI (`CI=true`) the
machine was prepared, so that a missing feature of `EXPECTED_ON_CI` is a failure instead: a skip there would hide a gap.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
settings.register_profile("dev", max_examples=50, deadline=None, phases=_PHASES, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", max_examples=100, deadline=None, phases=_PHASES, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

EXPECTED_ON_CI = frozenset({"linux", "root", "overlayfs", "cgroup", "docker", "dockerd", "nft", "skopeo", "busybox"})
"""What `.ci/run` provides."""
PROGRAMS = {
    "docker": "apt-get install docker.io", "dockerd": "apt-get install docker.io", "nft": "apt-get install nftables",
    "skopeo": "apt-get install skopeo", "busybox": "apt-get install busybox-static", "podman": "apt-get install podman",
    "runc": "apt-get install runc",
}  # fmt: skip


@functools.cache
def why_missing(feature: str) -> str:
    """Return what is missing for *feature* and how to get it; empty if it is there."""
    if feature in PROGRAMS:
        return "" if shutil.which(feature) else f"needs `{feature}`: {PROGRAMS[feature]}"
    if sys.platform != "linux":
        return "needs Linux"
    if feature == "root" and os.geteuid() != 0:
        return "needs root: run the tests with sudo"
    if feature == "overlayfs" and "overlay" not in Path("/proc/filesystems").read_text():
        return "needs overlayfs in the kernel: modprobe overlay"
    if feature == "cgroup" and not any(Path("/sys/fs/cgroup").iterdir()):
        return "needs mounted control groups below /sys/fs/cgroup"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run, or on CI leave it to fail in `pytest_runtest_setup`."""
    for item in items:
        for feature in features_of(item):
            reason = why_missing(feature)
            if reason and not (os.environ.get("CI") and feature in EXPECTED_ON_CI):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose needs a CI machine should meet."""
    for feature in features_of(item):
        reason = why_missing(feature)
        if reason and os.environ.get("CI") and feature in EXPECTED_ON_CI:
            pytest.fail(f"{reason}; .ci/run should have provided it")


def features_of(item: pytest.Item) -> set[str]:
    """Return the features that a test names; everything below `linux/` and `compat/` needs Linux."""
    named = {str(feature) for marker in item.iter_markers("requires") for feature in marker.args}
    folder = Path(str(item.path)).parts
    return named | ({"linux"} if "linux" in folder or "compat" in folder else set())
