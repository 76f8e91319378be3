"""When a container is healthy: three words, and what moves between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.container.health import (
    KEPT_PROBES, Health, HealthStatus, Probe, compute_pause_ns, compute_timeout_ns, find_test, inherit_health, judge_probe,
)  # fmt: skip
from minidocker.spec.container import HealthConfig

S = 1_000_000_000
PASS, FAIL = Probe(start="t", exit_code=0), Probe(start="t", exit_code=1)
CONFIG = HealthConfig(test=("CMD", "true"), retries=3, start_period=10 * S)


def run(probes: list[Probe], *, age_ns: int = 60 * S, config: HealthConfig = CONFIG) -> Health:
    """Return the health after *probes*, all made at the same age."""
    health = Health()
    for probe in probes:
        health = judge_probe(config, health, probe, age_ns)
    return health


@given(st.lists(st.sampled_from([PASS, FAIL]), min_size=1, max_size=20))
def test_health_follows_the_last_tests_only(probes: list[Probe]) -> None:
    """A pass heals at once; only *retries* failures in a row make a container unhealthy; the log is short."""
    health = run(probes)
    tail = len(probes) - 1 - max((i for i, probe in enumerate(probes) if probe is PASS), default=-1)
    assert health.failing_streak == tail
    expected = HealthStatus.UNHEALTHY if tail >= 3 else HealthStatus.HEALTHY if PASS in probes else HealthStatus.STARTING
    assert health.status is expected
    assert health.probes == tuple(probes[-KEPT_PROBES:])


def test_failure_in_the_start_period_does_not_count() -> None:
    """A database may take a minute to come up; a health check must not kill it for that."""
    assert run([FAIL] * 5, age_ns=S) == Health(status=HealthStatus.STARTING, failing_streak=0, probes=(FAIL,) * 5)


def test_failure_after_the_first_pass_counts_even_in_the_start_period() -> None:
    """The start period ends with the first pass: what was up once has no excuse."""
    assert run([PASS, FAIL, FAIL, FAIL], age_ns=S).status is HealthStatus.UNHEALTHY


TESTS = {
    "no-check": (None, ()),
    "disabled": (HealthConfig(test=("NONE",)), ()),
    "words": (HealthConfig(test=("CMD", "curl", "-f", "x")), ("curl", "-f", "x")),
    "shell": (HealthConfig(test=("CMD-SHELL", "test -e x")), ("/bin/sh", "-c", "test -e x")),
}


@pytest.mark.parametrize(("config", "words"), TESTS.values(), ids=TESTS)
def test_command_has_two_forms(config: HealthConfig | None, words: tuple[str, ...]) -> None:
    """`CMD` is executed as it stands, `CMD-SHELL` by the image's shell."""
    assert find_test(config, ()) == words


def test_request_inherits_each_value_that_it_leaves_out() -> None:
    """`--health-interval` alone changes how often the image's own test is made."""
    image = HealthConfig(test=("CMD", "image"), interval=5 * S, retries=2)
    assert inherit_health(HealthConfig(interval=S), image) == HealthConfig(test=("CMD", "image"), interval=S, retries=2)
    assert inherit_health(None, image) is image
    assert inherit_health(HealthConfig(test=("NONE",)), image) == HealthConfig(test=("NONE",))


def test_pause_is_shorter_while_the_container_starts() -> None:
    """`--health-start-interval` finds out early that a container is up; later the ordinary interval is enough."""
    assert compute_pause_ns(CONFIG, Health(), S) == 5 * S
    assert compute_pause_ns(CONFIG, Health(), 11 * S) == 30 * S
    assert compute_pause_ns(CONFIG, Health(status=HealthStatus.HEALTHY), S) == 30 * S
    assert compute_timeout_ns(HealthConfig(timeout=S)) == S
