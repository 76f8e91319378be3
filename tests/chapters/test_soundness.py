"""Every exercise of the book is proved: it can be solved, an empty answer fails, and wrong answers get the hint that fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chapters.manifest import read_exercises
from minidocker.kernel.probe import compute_tier, probe_features

CHECKOUT = Path(__file__).resolve().parents[2]
TIER = int(compute_tier(probe_features())[0][1])
PARTS = max(1, min(4, os.cpu_count() or 1))
LIMIT_S = 600


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Prove all exercises in a few processes beside each other, and return what is wrong with each."""
    directory = tmp_path_factory.mktemp("soundness")
    commands = [
        [sys.executable, "-m", "chapters.soundness", "--tier", str(TIER), "--part", f"{n}/{PARTS}", "--json", str(directory / f"{n}.json")]
        for n in range(1, PARTS + 1)
    ]
    processes = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands]
    outputs = [process.communicate(timeout=LIMIT_S)[0] for process in processes]
    found: dict[str, list[str]] = {}
    for number, output in enumerate(outputs, 1):
        path = directory / f"{number}.json"
        assert path.exists(), output
        found |= json.loads(path.read_text())
    return found


@pytest.mark.parametrize("exercise", read_exercises())
def test_exercise_is_sound(exercise: str, faults: dict[str, list[str]]) -> None:
    """Our source passes, the stub fails every test, each mutant fails in its own way, and the learner's code was what ran."""
    tier = read_exercises()[exercise].tier
    if exercise not in faults:
        assert tier > TIER
        pytest.skip(f"needs tier T{tier}, and this machine has T{TIER}")
    assert not faults[exercise]
