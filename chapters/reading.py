"""The commands for reading: predict before one looks, read the tests as a book, have one of them explained."""

from __future__ import annotations

import argparse
import sys

from chapters.desk import COULD_NOT_RUN, FAILED, PASSED, CommandError, Desk
from chapters.manifest import CHECKOUT, read_exercises, read_questions, require_exercise
from chapters.screen import bold, dim, green, red, say, wrap
from chapters.table import find_chapter

__all__ = ["explain", "predict", "tests"]


def predict(desk: Desk, options: argparse.Namespace) -> int:
    """Ask what will happen, before you look: the next open question, one by its name, or those of a chapter."""
    questions = read_questions()
    made = desk.progress.predictions
    chosen = [q for q in questions.values() if options.question in (None, q.id, str(q.number))]
    if not chosen:
        raise CommandError(f"there is no question `{options.question}`: {', '.join(questions) or 'there are none yet'}")
    open_ones = [q for q in chosen if q.answer not in made.get(q.id, [])] if options.question not in questions else chosen
    if not open_ones:
        say("you have predicted all of them; name one to see it again")
        return PASSED
    question = open_ones[0]
    say(bold(f"{question.id}  (chapter {question.chapter})"))
    say(wrap(question.ask))
    for number, text in enumerate(question.choices, 1):
        say(wrap(f"{number}. {text}", "  "))
    choice = options.answer or _read_choice(len(question.choices))
    if choice is None or not 1 <= choice <= len(question.choices):
        say(f"answer with `python3 -m chapters predict {question.id} --answer 1` to {len(question.choices)}")
        return COULD_NOT_RUN
    made.setdefault(question.id, []).append(choice)
    desk.save()
    say(green("yes") if choice == question.answer else red("no") + f", it is {question.answer}")
    say(wrap(question.why, "  "))
    say(dim(f"proved by a test: `python3 -m chapters explain {question.shown_by}`"))
    return PASSED if choice == question.answer else FAILED


def _read_choice(highest: int) -> int | None:
    """Ask for a number; nothing where nobody can answer."""
    if not sys.stdin.isatty():
        return None
    try:
        answer = input(f"your prediction (1 to {highest}): ").strip()
    except EOFError:
        return None
    return int(answer) if answer.isdecimal() else None


def tests(_desk: Desk, options: argparse.Namespace) -> int:
    """Read the tests as a book: every one a sentence, with the reason under -v."""
    from chapters.catalogue import find_statements, read_files

    chosen = set(find_statements(" ".join(options.words))) if options.words else None
    count = 0
    for file in read_files():
        statements = [s for s in file.statements if chosen is None or s in chosen]
        if not statements or (options.chapter is not None and file.chapter != options.chapter):
            continue
        chapter = find_chapter(file.chapter)
        say(f"\n{bold(wrap(file.about))}")
        say(dim(f"{file.path.relative_to(CHECKOUT).as_posix()}  {file.tier}  {f'chapter {chapter.number}, {chapter.title}' if chapter else ''}"))
        for statement in statements:
            say(f"  {statement.sentence}")
            if options.verbose:
                say(dim(wrap(statement.reason, "      ")))
        count += len(statements)
    say(f"\n{count} sentences" + ("" if count else ": no test is about that") + ("" if options.verbose else "; -v gives the reasons"))
    return PASSED


def explain(desk: Desk, options: argparse.Namespace) -> int:
    """Say what a test wants and why Docker behaves so; without a name, the first that failed in the last check."""
    from chapters.catalogue import find_statements, read_files

    failed = desk.progress.standing(desk.progress.current).failed if desk.progress.current else []
    name = options.test or next(iter(failed), "")
    if not name:
        raise CommandError("which test? Name one, or a few words of it: `python3 -m chapters tests` shows all")
    found = find_statements(name)
    if desk.progress.current and len(found) > 1:  # the one at hand before others of the same name
        own = [s for s in found if s.path == require_exercise(desk.progress.current).test_path]
        found = own or found
    if not found:
        raise CommandError(f"there is no test like `{name}`: `python3 -m chapters tests WORDS` searches")
    if len(found) > 1:
        say(f"{len(found)} tests fit `{name}`; name one of them:")
        for statement in found[:20]:
            say(f"  {statement.id}")
        return FAILED
    [statement] = found
    file = next(file for file in read_files() if statement in file.statements)
    chapter = find_chapter(file.chapter)
    say(bold(statement.sentence))
    say(wrap(statement.reason, "  "))
    for exercise in read_exercises().values():
        if exercise.test_path == statement.path:
            for objective in (text for text, names in exercise.objectives.items() if statement.name in names):
                say(wrap(f"It shows that {objective}.", "  "))
    say(f"\n{desk.show(statement.path)}, line {statement.line}:\n")
    say(statement.read_code())
    if chapter:
        page = CHECKOUT / "chapters" / chapter.directory / "index.md"
        say(f"more about it: chapter {chapter.number}, {chapter.title}" + (f" ({desk.show(page)})" if page.exists() else ""))
    return PASSED
