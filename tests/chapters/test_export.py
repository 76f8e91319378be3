"""What goes to other systems: they can run it as they run things, and no answer goes to students."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chapters.commands import main
from chapters.export import SYSTEMS, choose_bug, split_points
from chapters.grade import find_isolation
from chapters.handin import collect, grade_for_gradescope
from chapters.manifest import Exercise, read_exercises, require_exercise
from chapters.sandbox import CONTAINER, USER, Remote, Sandbox, SubmissionError
from chapters.stub import find_functions, replace_functions
from chapters.variant import compute_source

CHECKOUT = Path(__file__).resolve().parents[2]
EXERCISE = require_exercise("chain-ids")
SOLUTION = EXERCISE.targets[0].path.read_bytes()
HALF = compute_source(EXERCISE, EXERCISE.targets[0].module, "no-limit")
LIMIT_S = 300
HIDDEN_TEST = '''"""Hidden."""
from minidocker.image.layer import compute_chain_ids as ours


def test_drawn_stacks_are_named_as_ours_are(compute_chain_ids, dice):
    """Whatever is drawn."""
    stack = [f"sha256:{dice.getrandbits(256):064x}" for _ in range(dice.randrange(1, 9))]
    assert compute_chain_ids(stack) == ours(stack)


def test_drawn_number_is(compute_chain_ids, dice):
    """Fails, and tells what was drawn."""
    assert compute_chain_ids([]) == dice.random()
'''

Export = Callable[..., Path]


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Return a function that exports something and returns where it is."""
    monkeypatch.setenv("MINIDOCKER_WORK", str(tmp_path / "work"))

    def run(system: str, *words: str) -> Path:
        directory = tmp_path / system
        assert main(["export", system, str(directory), *words]) == 0
        return directory

    return run


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A directory of hidden tests."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "test_chain_ids.py").write_text(HIDDEN_TEST)
    return tmp_path / "hidden"


def run_in(directory: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program as such a system would: with the interpreter that has pytest first in the path."""
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory), **more}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S)


# -- Gradescope --------------------------------------------------------------------------------------------------------------

ROW_FIELDS: dict[str, type | tuple[type, ...]] = {"name": str, "number": str, "score": (int, float), "max_score": (int, float), "status": str, "output": str, "visibility": str}
VISIBILITIES = {"hidden", "after_due_date", "after_published", "visible"}
IN_AUTOGRADER = """
set -eu
mount -t tmpfs none "$1/root"
for place in /*; do
    case "$place" in /autograder | "/*") continue ;; esac
    if [ -L "$place" ]; then cp -P "$place" "$1/root$place"; continue; fi
    if [ -d "$place" ]; then mkdir "$1/root$place"; mount --rbind "$place" "$1/root$place"; fi
done
mkdir "$1/root/autograder"
mount --bind "$1/autograder" "$1/root/autograder"
exec chroot "$1/root" /bin/sh -c "$2"
"""


def check_against_specification(results: dict[str, Any]) -> None:
    """Hold a `results.json` against the table of fields that Gradescope documents."""
    assert results.keys() <= {"score", "execution_time", "output", "visibility", "stdout_visibility", "extra_data", "tests", "leaderboard"}
    assert isinstance(results["score"], (int, float))
    assert isinstance(results["execution_time"], int)
    assert {results["visibility"], results["stdout_visibility"]} <= VISIBILITIES
    for row in results["tests"]:
        assert row.keys() == ROW_FIELDS.keys()
        assert all(isinstance(row[name], kind) for name, kind in ROW_FIELDS.items())
        assert row["status"] in ("passed", "failed")
        assert row["visibility"] in VISIBILITIES
        assert 0 <= row["score"] <= row["max_score"]
    assert results["score"] == pytest.approx(sum(row["score"] for row in results["tests"]))


@pytest.fixture
def autograder(exported: Export, hidden: Path, tmp_path: Path) -> Path:
    """Unpack the zip file as Gradescope does, beside a submission of one bare file."""
    archive = exported("gradescope", "--chapter", "4", "--hidden", str(hidden), "--secret", "w") / "autograder.zip"
    root = tmp_path / "place" / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        assert {"setup.sh", "run_autograder"} <= set(file.namelist())
        assert file.getinfo("run_autograder").external_attr >> 16 & 0o111
        file.extractall(root / "source")
    for name in ("setup.sh", "run_autograder"):
        (root / "source" / name).chmod(0o755)
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    (root / "submission" / "layer.py").write_bytes(HALF)
    (root / "submission_metadata.json").write_text(json.dumps({"id": 1, "users": [{"email": "ada@example.org", "id": 7, "name": "Ada"}]}))
    return root


@pytest.mark.requires("root")
def test_gradescope_runs_the_zip_file_in_its_own_directories(autograder: Path) -> None:
    """`setup.sh` once, then `run_autograder` in `/autograder`: the results are in its format, and say what is right and what is not."""
    (autograder.parent / "root").mkdir()
    script = "cd /autograder && ./source/setup.sh && ./run_autograder"
    done = run_in(autograder.parent, "unshare", "--mount", "sh", "-c", IN_AUTOGRADER, "sh", str(autograder.parent), script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (autograder / "results").stat().st_mode & 0o777 == 0o700
    results = json.loads((autograder / "results" / "results.json").read_text())
    check_against_specification(results)
    rows = {row["name"]: row for row in results["tests"]}
    own = [row for name, row in rows.items() if name.startswith("chain-ids")]
    assert [row["status"] for row in own] == ["passed", "passed", "failed", "failed"]
    assert [row["visibility"] for row in own] == ["visible"] * 3 + ["after_published"]
    assert "DID NOT RAISE" in own[2]["output"]
    assert sum(row["max_score"] for row in own) == pytest.approx(EXERCISE.points)
    assert own[3]["score"] == own[3]["max_score"] / 2
    assert "was not handed in" in rows["whiteout-names: " + next(iter(require_exercise("whiteout-names").objectives))]["output"]


def test_results_are_there_before_anything_is_graded(autograder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If time or memory runs out, Gradescope finds a file: zero points, and a sentence on every row."""
    (autograder / "source" / "assignment.json").replace(autograder / "assignment.json")
    monkeypatch.setattr("chapters.handin.read_assignment", lambda: ([EXERCISE], "w"))
    monkeypatch.setattr("chapters.handin.grade_one", lambda *_args, **_more: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        grade_for_gradescope(autograder)
    results = json.loads((autograder / "results" / "results.json").read_text())
    check_against_specification(results)
    assert results["score"] == 0
    assert {row["output"] for row in results["tests"]} == {"not graded: the time was over before"}


def test_files_are_found_however_they_were_handed_in(tmp_path: Path) -> None:
    """As a tree, as `work/`, or bare where only one exercise wants a file of that name; a link could lead anywhere and is not followed."""
    other = require_exercise("whiteout-names")
    for place in ("a/work/chain-ids", "b/chain-ids", "c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "layer.py").write_text(place)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "layer.py").symlink_to("/etc/passwd")
    for name, found in (("a", "a/work/chain-ids"), ("b", "b/chain-ids"), ("c", "c"), ("d", "")):
        collect(tmp_path / name, [EXERCISE, other], tmp_path / "out" / name)
        file = tmp_path / "out" / name / "chain-ids" / "layer.py"
        assert (file.read_text() if file.exists() else "") == found


# -- Classroom 50 ------------------------------------------------------------------------------------------------------------


def check_against_schema(document: dict[str, Any]) -> None:
    """Hold a `tests.json` against `classroom50/tests/v1`, as far as tests of the type `run` are concerned."""
    assert document.keys() == {"schema", "tests"}
    assert document["schema"] == "classroom50/tests/v1"
    names = [test["name"] for test in document["tests"]]
    assert len(set(names)) == len(names) <= 100
    for test in document["tests"]:
        assert test.keys() <= {"name", "type", "setup", "run", "timeout", "exit-code", "points", "failure-details", "show-output", "show-command"}
        assert test["type"] == "run"
        assert test["run"]
        assert 0 < len(test["name"].encode()) <= 100
        assert test["name"].isprintable()
        assert isinstance(test["timeout"], int)
        assert 1 <= test["timeout"] <= 600
        assert isinstance(test["points"], int)
        assert 0 <= test["points"] <= 1000
        assert 0 <= test["exit-code"] <= 255


def test_classroom_50_runs_a_command_for_each_objective(exported: Export, tmp_path: Path) -> None:
    """Its runner starts every command in the student's checkout and tells it where the bundle is; the status decides about all the points."""
    bundle = exported("classroom50", "chain-ids")
    document = json.loads((bundle / "tests.json").read_text())
    check_against_schema(document)
    assert sum(test["points"] for test in document["tests"]) == EXERCISE.points
    repository = tmp_path / "repository" / "work" / "chain-ids"
    repository.mkdir(parents=True)
    (repository / "layer.py").write_bytes(HALF)
    points = []
    for test in document["tests"]:
        assert test["setup"] == "python3 -m pip install --quiet pytest"
        done = run_in(tmp_path / "repository", "bash", "-c", test["run"], CLASSROOM50_BUNDLE_DIR=str(bundle))
        points.append(test["points"] if done.returncode == test["exit-code"] else 0)
        assert "Traceback" not in done.stdout + done.stderr
    assert points == [4, 3, 0]
    assert "DID NOT RAISE" in done.stdout


def test_too_many_tests_for_classroom_50_are_refused(exported: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes 100 for an assignment; better to be told now than by its runner."""
    many = [exercise.id for exercise in read_exercises().values() for _ in range(4)]
    assert main(["export", "classroom50", str(tmp_path / "x"), *many]) == 2
    assert "export fewer exercises" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("points", "parts"), [(10, 3), (15, 4), (1, 2), (20, 1)])
def test_whole_points_add_up(points: int, parts: int) -> None:
    """No point is lost in a division, and no objective gets more than one above another."""
    split = split_points(points, parts)
    assert sum(split) == points
    assert len(split) == parts
    assert max(split) - min(split) <= 1


# -- GitHub Actions ----------------------------------------------------------------------------------------------------------


def test_workflow_is_one_that_github_accepts(exported: Export) -> None:
    """Held against the schema of workflows that is published for editors."""
    path = exported("actions", "--chapter", "4") / ".github" / "workflows" / "exercises.yml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_steps_of_the_workflow_run_one_after_the_other(exported: Export, tmp_path: Path) -> None:
    """An interpreter of the little of it that runs programs: a failed step fails the job, and the others run all the same."""
    import yaml

    workflow = yaml.safe_load((exported("actions", "chain-ids", "whiteout-names") / ".github" / "workflows" / "exercises.yml").read_text())
    repository = exported("student", "chain-ids", "whiteout-names")
    for exercise, content in ((EXERCISE, HALF), (require_exercise("whiteout-names"), None)):
        for module, name in exercise.files.items():
            path = repository / "work" / exercise.id / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content or next(target for target in exercise.targets if target.module == module).path.read_bytes())
    outcomes: dict[str, bool] = {}
    for step in workflow["jobs"]["check"]["steps"]:
        if "pip install" in step.get("run", "") or ("if" not in step and not all(outcomes.values())):
            continue
        assert step.get("if") in (None, "${{ !cancelled() }}")
        if "run" in step:
            outcomes[step["name"]] = run_in(repository, "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]).returncode == 0
    assert outcomes == {"chain-ids": False, "whiteout-names": True}
    assert json.loads((repository / "results" / "chain-ids.json").read_text())["exercises"][0]["status"] == "fail"


# -- students ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a student gets of the whole book."""
    directory = tmp_path_factory.mktemp("student") / "tree"
    assert main(["export", "student", str(directory)]) == 0
    return directory


def body_of(path: Path, qualname: str) -> str:
    """Return a function's statements as text, without its docstring and without comments."""
    node = find_functions(ast.parse(path.read_bytes()))[qualname]
    return "\n".join(ast.unparse(statement) for statement in node.body if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)))


def test_student_tree_holds_no_answer(student_tree: Path) -> None:
    """No body of a function that is asked for, no wrong solution that is nearly right, and no history to look it up in."""
    for exercise in read_exercises().values():
        for target in exercise.targets:
            assert body_of(student_tree / target.path.relative_to(CHECKOUT), target.qualname).startswith("raise NotImplementedError(")
    mutants = [path for path in student_tree.rglob("mutants/*/*.py") if path.name != "bug.py"]
    assert not mutants
    assert not (student_tree / ".git").exists()
    everything = "\n".join(path.read_text() for path in student_tree.rglob("*.py"))
    answers = [answer for e in read_exercises().values() for t in e.targets if len(answer := body_of(t.path, t.qualname)) > 120]
    assert [answer for answer in answers if answer in everything] == []
    manifests = "\n".join(path.read_text() for path in student_tree.rglob("exercises.toml"))
    assert [m.misconception for e in read_exercises().values() for m in e.mutants if m.misconception in manifests] == []


SOLVE_ALL = """
import json, sys, tempfile
from pathlib import Path
from chapters.judge import run_variants
from chapters.manifest import CHECKOUT, read_exercises
from chapters.stub import replace_functions
from chapters.variant import Variant
origin, variants, place = Path(sys.argv[1]), [], Path(sys.argv[2])
for exercise in read_exercises().values():
    files = {}
    waiting, needed = list(exercise.requires), [exercise]
    while waiting:
        needed.append(read_exercises()[waiting.pop()])
        waiting += needed[-1].requires
    for target in [target for one in needed for target in one.targets]:
        path = files.setdefault(target.module, place / exercise.id / target.module)
        source = path.read_bytes() if path.exists() else target.path.read_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(replace_functions(source, (origin / target.path.relative_to(CHECKOUT)).read_bytes(), only=[target.qualname]))
    variants += [Variant(exercise=exercise, name="solution", files=files)] if not exercise.tier else []
reports = run_variants(variants)
print(json.dumps({r.exercise.id: [t.message for t in r.tests if not t.passed] for r in reports}))
"""


def test_every_exercise_can_be_solved_in_the_student_tree(student_tree: Path, tmp_path: Path) -> None:
    """With nothing but what the student wrote there and in the exercises that it says it requires."""
    done = run_in(student_tree, sys.executable, "-c", SOLVE_ALL, str(CHECKOUT), str(tmp_path))
    assert done.returncode == 0, done.stderr
    failures = json.loads(done.stdout)
    assert len(failures) == sum(not exercise.tier for exercise in read_exercises().values())
    assert {name: messages for name, messages in failures.items() if messages} == {}


def test_solution_becomes_part_of_the_student_s_own_minidocker(exported: Export) -> None:
    """What is built stays built: the next exercise finds it in the module, and `update` brings it into copies begun before."""
    tree = exported("student", "--chapter", "17")
    tool = [sys.executable, "-m", "chapters"]
    first, second = require_exercise("swap-and-processors"), require_exercise("limits-as-files")
    assert "may need what you write in swap-and-processors" in run_in(tree, *tool, "start", second.id).stdout
    assert run_in(tree, *tool, "start", first.id).returncode == 0
    for exercise in (first, second):
        copy = tree / "work" / exercise.id / "limits.py"
        wanted = [target.qualname for target in exercise.targets]
        copy.write_bytes(replace_functions(copy.read_bytes(), exercise.targets[0].path.read_bytes(), only=wanted))
    done = run_in(tree, *tool, "check", first.id)
    assert "is now part of minidocker/cgroup/limits.py" in done.stdout, done.stdout + done.stderr
    assert run_in(tree, *tool, "check", second.id).returncode == 1
    assert run_in(tree, *tool, "update").returncode == 0
    done = run_in(tree, *tool, "check", second.id)
    assert done.returncode == 0, done.stdout + done.stderr


def bug_hunts() -> list[Exercise]:
    """Return the exercises in which something is to be repaired."""
    return [exercise for exercise in read_exercises().values() if exercise.kind == "fix"]


def test_each_student_has_bugs_of_their_own() -> None:
    """Drawn by name and secret: the same each time, not the same for all, and none that is no known bug."""
    for exercise in bug_hunts():
        drawn = {name: choose_bug(exercise, name, "secret") for name in map(str, range(40))}
        assert drawn == {name: choose_bug(exercise, name, "secret") for name in drawn}
        assert set(drawn.values()) == {mutant.name for mutant in exercise.mutants}
        assert choose_bug(exercise, "", "secret") == exercise.start_from


# -- hidden tests ------------------------------------------------------------------------------------------------------------


def test_hidden_tests_count_as_one_objective_more(hidden: Path, tmp_path: Path) -> None:
    """They are run as the public ones are, and what they draw depends on the student."""
    for student in ("ada", "bob"):
        (tmp_path / "class" / student / EXERCISE.id).mkdir(parents=True)
        (tmp_path / "class" / student / EXERCISE.id / "layer.py").write_bytes(SOLUTION)
    command = [sys.executable, "-m", "chapters", "grade", str(tmp_path / "class"), EXERCISE.id, "--hidden", str(hidden), "--secret", "w", "--out", str(tmp_path / "r.json")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    students = json.loads((tmp_path / "r.json").read_text())["students"]
    assert [student["points"] for student in students] == [8.75, 8.75]
    drawn = [test["message"] for student in students for test in student["exercises"][0]["tests"] if test["test"] == "test_drawn_number_is"]
    assert len(set(drawn)) == 2


@pytest.mark.parametrize(("text", "sentence"), [("def (", "cannot read these hidden tests"), ("x = 1", "must hold tests"), ("def test_lowest_layer_is_named_by_its_own_digest(): pass", "other names than the public ones")])
def test_hidden_tests_that_cannot_be_used_are_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str) -> None:
    """Before a class is graded without them."""
    (tmp_path / "test_chain_ids.py").write_text(text)
    assert main(["export", "gradescope", str(tmp_path / "out"), EXERCISE.id, "--hidden", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err


# -- a user of its own -------------------------------------------------------------------------------------------------------


@pytest.mark.requires("root")
def test_worker_can_be_a_user_of_its_own_where_no_container_can_be_made(tmp_path: Path) -> None:
    """Inside Gradescope's container root may not make namespaces, but it may become somebody else: who owns nothing, and reads no answer."""
    target = EXERCISE.targets[0]
    body = b"""def compute_chain_ids(diff_ids):
    import minidocker, os, pathlib
    ours = pathlib.Path(minidocker.__file__).parent / "image/layer.py"
    pid = os.fork()
    if not pid:
        os.setsid()
        import time; time.sleep(600)
    return [os.getuid() >= 1_000_000_000, ours.exists(), os.access(ours.parent, os.W_OK), pid]
"""
    (tmp_path / "layer.py").write_bytes(replace_functions(SOLUTION, body))
    try:
        sandbox = Sandbox({target.module: tmp_path / "layer.py"}, (target,), isolation=USER, limit_s=60)
    except SubmissionError as error:
        pytest.skip(f"needs an interpreter that other users may run: {error}")
    *facts, pid = Remote(sandbox, str(target), "compute_chain_ids")(["sha256:1"])
    sandbox.close()
    assert facts == [True, False, False]
    assert not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_all_systems_are_offered() -> None:
    """The command line names what there is, without loading it."""
    from chapters.commands import SYSTEM_NAMES

    assert set(SYSTEM_NAMES) == set(SYSTEMS)
    assert find_isolation() in (CONTAINER, USER, "process")
