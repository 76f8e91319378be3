"""What an exercise is: the records behind `chapters/NN-name/exercises.toml`.

Rule: a manifest says everything about an exercise but the answer, which is our own source. A field that is missing, misspelt or of
the wrong form is refused here, with the file and the exercise in the message; `chapters.lint` checks what needs other files.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["BOOK", "CHECKOUT", "Exercise", "ManifestError", "Mutant", "Question", "Target", "read_exercises", "read_questions", "require_exercise"]

BOOK: Final = Path(__file__).resolve().parent
CHECKOUT: Final = BOOK.parent
FORMAT_VERSION: Final = 1
KINDS: Final = ("write", "fix")
ID: Final = re.compile(r"[a-z][a-z0-9-]{1,31}")
HINT_LEVELS: Final = ("nudge", "pointer", "example")


class ManifestError(Exception):
    """A manifest that cannot be used: file, exercise, field, cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function that the learner writes."""

    module: str
    """Dotted: `minidocker.image.layer`."""
    qualname: str
    """Within the module: `compute_chain_ids`, `TarReader.read_data`."""

    def __str__(self) -> str:
        """The form of the manifest: `minidocker.image.layer:compute_chain_ids`."""
        return f"{self.module}:{self.qualname}"

    @property
    def fixture(self) -> str:
        """The name under which a test asks for it."""
        return self.qualname.rpartition(".")[2].lstrip("_")

    @property
    def path(self) -> Path:
        """Our own source of the module."""
        below = CHECKOUT.joinpath(*self.module.split("."))
        return below / "__init__.py" if below.is_dir() else below.with_suffix(".py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A plausible wrong solution."""

    name: str
    misconception: str
    """What somebody who writes this believes: one sentence."""
    hint: int
    """Which of the exercise's hints puts it right: 1 to 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One exercise of the book."""

    id: str
    chapter: str
    """The chapter's directory: `04-layered-image`."""
    title: str
    kind: str
    targets: tuple[Target, ...]
    tier: int
    points: int
    minutes: int
    difficulty: int
    objectives: Mapping[str, tuple[str, ...]]
    """What one learns → the tests that show it."""
    hints: tuple[str, str, str]
    mutants: tuple[Mutant, ...]
    requires: tuple[str, ...] = ()
    start_from: str = ""
    """Kind `fix`: the mutant that the learner is given to repair, instead of a stub."""
    limit_s: float = 10.0
    """How long one call of the learner's code may take."""
    hidden_path: Path | None = None
    """Tests that the learner never sees (`chapters.hidden`)."""

    @property
    def directory(self) -> Path:
        """Where the chapter lies."""
        return BOOK / self.chapter

    @property
    def number(self) -> int:
        """The chapter's number."""
        return int(self.chapter.partition("-")[0])

    @property
    def test_path(self) -> Path:
        """The file of its tests."""
        return self.directory / f"test_{self.id.replace('-', '_')}.py"

    @property
    def test_paths(self) -> tuple[Path, ...]:
        """The files of all tests that are run."""
        return (self.test_path,) if self.hidden_path is None else (self.test_path, self.hidden_path)

    @property
    def tests(self) -> tuple[str, ...]:
        """The names of all its tests, each once."""
        return tuple(dict.fromkeys(test for tests in self.objectives.values() for test in tests))

    @property
    def files(self) -> dict[str, str]:
        """Module → name of the learner's copy: the last part of the module's name, or all of it where two are alike."""
        modules = list(dict.fromkeys(target.module for target in self.targets))
        short = [module.rpartition(".")[2] for module in modules]
        return {m: f"{s if short.count(s) == 1 else m}.py" for m, s in zip(modules, short, strict=True)}

    def mutant_path(self, mutant: str) -> Path:
        """The file with a mutant's functions."""
        return self.directory / "mutants" / self.id / f"{mutant}.py"

    def targets_in(self, module: str) -> tuple[str, ...]:
        """The names of the targets in *module*."""
        return tuple(target.qualname for target in self.targets if target.module == module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something to be predicted before one looks."""

    id: str
    chapter: str
    ask: str
    choices: tuple[str, ...]
    answer: int
    """The number of the right choice, from 1."""
    why: str
    shown_by: str
    """The id of the test that proves it, as `python3 -m chapters explain` takes it."""

    @property
    def number(self) -> int:
        """The chapter's number."""
        return int(self.chapter.partition("-")[0])


@functools.cache
def read_questions(book: Path = BOOK) -> Mapping[str, Question]:
    """Return all questions by id, in the order of the book.

    Raises:
        ManifestError: a manifest cannot be used, or two questions have one id.
    """
    questions: dict[str, Question] = {}
    for path in sorted(book.glob("[0-9][0-9]-*/exercises.toml")):
        for question in parse_manifest(path.read_text(encoding="utf-8"), chapter=path.parent.name)[1]:
            if question.id in questions:
                raise ManifestError(f"{path.parent.name}/exercises.toml: `{question.id}` is a question of {questions[question.id].chapter} already")
            questions[question.id] = question
    return questions


@functools.cache
def read_exercises(book: Path = BOOK) -> Mapping[str, Exercise]:
    """Return all exercises by id, in the order of the book.

    Raises:
        ManifestError: a manifest cannot be used, or two exercises have one id.
    """
    exercises: dict[str, Exercise] = {}
    for path in sorted(book.glob("[0-9][0-9]-*/exercises.toml")):
        for exercise in parse_manifest(path.read_text(encoding="utf-8"), chapter=path.parent.name)[0]:
            if exercise.id in exercises:
                raise ManifestError(f"{path.parent.name}/exercises.toml: `{exercise.id}` is an exercise of {exercises[exercise.id].chapter} already")
            exercises[exercise.id] = exercise
    return exercises


def require_exercise(name: str) -> Exercise:
    """Return the exercise called *name*.

    Raises:
        ManifestError: there is none; names what is close.
    """
    exercises = read_exercises()
    if name in exercises:
        return exercises[name]
    import difflib

    close = difflib.get_close_matches(name, exercises, n=1)
    advice = f"did you mean `{close[0]}`?" if close else "`python3 -m chapters list` shows all"
    raise ManifestError(f"there is no exercise `{name}` ({advice})")


def parse_manifest(text: str, *, chapter: str) -> tuple[tuple[Exercise, ...], tuple[Question, ...]]:
    """Return the exercises and the questions of one `exercises.toml`.

    Raises:
        ManifestError: it is no TOML, or a field is missing, unknown or of the wrong form.
    """
    where = f"{chapter}/exercises.toml"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{where}: {error}") from error
    if document.pop("format_version", None) != FORMAT_VERSION:
        raise ManifestError(f"{where}: `format_version` must be {FORMAT_VERSION}")
    tables, questions = document.pop("exercise", []), document.pop("question", [])
    if document:
        raise ManifestError(f"{where}: unknown key `{next(iter(document))}`")
    return (
        tuple(_parse_exercise(_Fields(table, f"{where}: {table.get('id', 'an exercise without id')}"), chapter) for table in tables),
        tuple(_parse_question(_Fields(table, f"{where}: {table.get('id', 'a question without id')}"), chapter) for table in questions),
    )


class _Fields:
    """One table of a manifest: every key is asked for with its type, and none may be left over."""

    def __init__(self, table: dict[str, object], where: str) -> None:
        self._table, self._where = dict(table), where

    def fail(self, text: str) -> ManifestError:
        return ManifestError(f"{self._where}: {text}")

    def take(self, key: str, kind: type, default: object = None) -> object:
        value = self._table.pop(key, default)
        if value is None:
            raise self.fail(f"`{key}` is missing")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.fail(f"`{key}` must be a {kind.__name__}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self.take(key, str, default)).strip()

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = int(str(self.take(key, int, default)))
        if not low <= value <= high:
            raise self.fail(f"`{key}` must be from {low} to {high}")
        return value

    def texts(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        value = self.take(key, list, default)
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise self.fail(f"`{key}` must be a list of texts, none of them empty")
        return tuple(item.strip() for item in value)

    def tables(self, key: str) -> list[_Fields]:
        value = self.take(key, list, [])
        return [_Fields(table, f"{self._where}: {key}") for table in value] if isinstance(value, list) else []

    def finish(self) -> None:
        if self._table:
            raise self.fail(f"unknown key `{next(iter(self._table))}`")


def _parse_exercise(fields: _Fields, chapter: str) -> Exercise:
    name = fields.text("id")
    if not ID.fullmatch(name):
        raise fields.fail("`id` must be 2 to 32 of a-z, 0-9 and `-`, and begin with a letter")
    kind = fields.text("kind", "write")
    if kind not in KINDS:
        raise fields.fail(f"`kind` must be one of {', '.join(KINDS)}")
    hints = fields.texts("hints")
    if len(hints) != len(HINT_LEVELS):
        raise fields.fail(f"`hints` must have {len(HINT_LEVELS)} levels: {', '.join(HINT_LEVELS)}")
    objectives = fields.take("objectives", dict)
    exercise = Exercise(
        id=name, chapter=chapter, kind=kind, title=fields.text("title"), hints=(hints[0], hints[1], hints[2]),
        targets=tuple(_parse_target(text, fields) for text in fields.texts("targets")),
        tier=fields.number("tier", 0, 2), points=fields.number("points", 1, 1000), minutes=fields.number("minutes", 1, 1000),
        difficulty=fields.number("difficulty", 1, 5), objectives=_parse_objectives(objectives, fields),
        mutants=tuple(_parse_mutant(table) for table in fields.tables("mutant")), requires=fields.texts("requires", []),
        start_from=fields.text("start_from", ""), limit_s=float(fields.number("limit_s", 1, 600, 10)),
    )  # fmt: skip
    fields.finish()
    if (kind == "fix") != bool(exercise.start_from):
        raise fields.fail('`start_from` names the mutant to repair, for exercises with kind = "fix" and only for those')
    return exercise


def _parse_question(fields: _Fields, chapter: str) -> Question:
    choices = fields.texts("choices")
    question = Question(
        id=fields.text("id"), chapter=chapter, ask=fields.text("ask"), choices=choices, answer=fields.number("answer", 1, len(choices)),
        why=fields.text("why"), shown_by=fields.text("shown_by"),
    )  # fmt: skip
    fields.finish()
    if not ID.fullmatch(question.id) or len(set(choices)) < max(2, len(choices)):
        raise fields.fail("a question has an id of a-z, 0-9 and `-`, and at least two choices, all different")
    return question


def _parse_target(text: str, fields: _Fields) -> Target:
    module, colon, qualname = text.partition(":")
    if not colon or not re.fullmatch(r"minidocker(\.\w+)+", module) or not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", qualname):
        raise fields.fail(f"the target `{text}` must have the form `minidocker.package.module:function`")
    return Target(module=module, qualname=qualname)


def _parse_objectives(value: object, fields: _Fields) -> Mapping[str, tuple[str, ...]]:
    objectives: dict[str, tuple[str, ...]] = {}
    for text, tests in value.items() if isinstance(value, dict) else ():
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            raise fields.fail(f"the objective `{text}` must list the names of its tests")
        objectives[text] = tuple(tests)
    if not objectives:
        raise fields.fail("`objectives` must have at least one")
    return objectives


def _parse_mutant(fields: _Fields) -> Mutant:
    mutant = Mutant(
        name=fields.text("name"), misconception=fields.text("misconception"), hint=fields.number("hint", 1, len(HINT_LEVELS))
    )
    fields.finish()
    if not ID.fullmatch(mutant.name):
        raise fields.fail(f"the mutant's name `{mutant.name}` must be of a-z, 0-9 and `-`")
    return mutant
