"""Health: what the tests of a container said, and what follows from one more of them.

Pure. A container with a test is `starting` until a test passes (`healthy`) or has failed *retries* times in a row (`unhealthy`);
failures in the start period do not count. Exit status 0 is a pass, anything else is not. Defaults and limits are Docker's; see the
Dockerfile reference, "HEALTHCHECK". Chapter 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from minidocker.spec.container import HealthConfig
from minidocker.spec.record import json_key

__all__ = [
    "MAX_OUTPUT_BYTES", "Health", "HealthStatus", "Probe", "compute_pause_ns", "compute_timeout_ns", "find_test", "inherit_health",
    "judge_probe",
]  # fmt: skip

DEFAULT_INTERVAL_NS: Final = 30_000_000_000
DEFAULT_TIMEOUT_NS: Final = 30_000_000_000
DEFAULT_START_INTERVAL_NS: Final = 5_000_000_000
DEFAULT_RETRIES: Final = 3
MAX_OUTPUT_BYTES: Final = 4096
"""How much of a test's output is kept."""
KEPT_PROBES: Final = 5
_DEFAULT_SHELL: Final = ("/bin/sh", "-c")


class HealthStatus(StrEnum):
    """Docker's words for it."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One test that was made."""

    start: str
    end: str = ""
    exit_code: int = 0
    """-1: it took too long, or could not be started."""
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known of a container's health."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    probes: tuple[Probe, ...] = field(default=(), metadata=json_key("Log"))


def inherit_health(asked: HealthConfig | None, image: HealthConfig | None) -> HealthConfig | None:
    """Return the test that was asked for, completed from the image's: each value that was not given is the image's."""
    if asked is None or image is None or asked.test == ("NONE",):
        return asked or image
    return HealthConfig(
        test=asked.test or image.test, interval=asked.interval or image.interval, timeout=asked.timeout or image.timeout,
        start_period=asked.start_period or image.start_period, start_interval=asked.start_interval or image.start_interval,
        retries=asked.retries or image.retries,
    )  # fmt: skip


def find_test(config: HealthConfig | None, shell: Sequence[str]) -> tuple[str, ...]:
    """Return the command that tests a container, in its two forms; empty for a container without a test."""
    match config.test if config is not None else ():
        case ("CMD", *words):
            return tuple(words)
        case ("CMD-SHELL", *words):
            return (*(shell or _DEFAULT_SHELL), *words)
        case _:
            return ()


def compute_timeout_ns(config: HealthConfig) -> int:
    """Return how long one test may take."""
    return config.timeout or DEFAULT_TIMEOUT_NS


def compute_pause_ns(config: HealthConfig, health: Health, age_ns: int) -> int:
    """Return the time to the next test of a container that has been running for *age_ns*: it starts with shorter pauses."""
    if health.status is HealthStatus.STARTING and age_ns < config.start_period:
        return config.start_interval or DEFAULT_START_INTERVAL_NS
    return config.interval or DEFAULT_INTERVAL_NS


def judge_probe(config: HealthConfig, health: Health, probe: Probe, age_ns: int) -> Health:
    """Return the health after one more test, begun when the container had been running for *age_ns*."""
    probes = (*health.probes, probe)[-KEPT_PROBES:]
    if probe.exit_code == 0:
        return Health(status=HealthStatus.HEALTHY, probes=probes)
    if health.status is HealthStatus.STARTING and age_ns < config.start_period:
        return Health(status=HealthStatus.STARTING, failing_streak=health.failing_streak, probes=probes)
    streak = health.failing_streak + 1
    failed = streak >= (config.retries or DEFAULT_RETRIES)
    return Health(status=HealthStatus.UNHEALTHY if failed else health.status, failing_streak=streak, probes=probes)
