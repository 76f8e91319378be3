"""What a machine offers decides its tier."""

from __future__ import annotations

import pytest

from minidocker.cli.doctor import TITLES, render_report
from minidocker.kernel.probe import PROBES, Feature, compute_tier

MACHINES = [
    ("laptop without Linux", set(), "T0"),
    ("Linux where user namespaces are off", {"linux"}, "T0"),
    ("Linux user", {"linux", "userns", "namespaces"}, "T1"),
    ("root in a locked container", {"linux", "root"}, "T0"),
    ("root", {"linux", "root", "namespaces", "userns"}, "T2"),
]


@pytest.mark.parametrize(("machine", "there", "tier"), MACHINES, ids=[name for name, *_ in MACHINES])
def test_tier_follows_from_features(machine: str, there: set[str], tier: str) -> None:
    """Only the highest tier has no next step."""
    features = {name: Feature(available=name in there, hint=f"get {name}") for name in PROBES}
    found, next_step = compute_tier(features)
    assert found == tier, machine
    assert bool(next_step) == (tier != "T2")
    assert f"Tier {tier}" in render_report(features, found, next_step)


def test_report_names_every_feature_and_says_what_would_help() -> None:
    """A no without a next step helps nobody."""
    features = {name: Feature(available=False, reason="because", hint=f"get {name}") for name in PROBES}
    text = render_report(features, "T0", "")
    assert set(TITLES) == set(PROBES)
    assert all(TITLES[name] in text and f"get {name}" in text for name in PROBES)
