"""The tests as a book: sentences, reasons, chapters, and three ways to read them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chapters.catalogue import find_statements, read_files, render_markdown
from chapters.commands import main
from chapters.manifest import require_exercise
from chapters.table import find_chapter, number_of_module

CHECKOUT = Path(__file__).resolve().parents[2]
STATEMENTS = [statement for file in read_files() for statement in file.statements]


def test_every_test_has_an_id_a_sentence_and_a_reason() -> None:
    """What has no name of its own cannot be pointed to, and what has no reason teaches nothing."""
    assert len({statement.id for statement in STATEMENTS}) == len(STATEMENTS) > 500
    for statement in STATEMENTS:
        assert statement.sentence.count(" ") >= 1, statement.id
        assert len(statement.reason) > 10, statement.id


def test_every_unit_test_lies_in_a_chapter_or_is_about_the_composition() -> None:
    """A test mirrors a module, and every module is explained somewhere."""
    for file in read_files():
        if file.chapter:
            assert find_chapter(file.chapter), file.path


PLACES = {
    "tests/unit/image/test_layer.py": 4,
    "tests/unit/codec/test_whiteout.py": 4,
    "tests/unit/codec/test_tar.py": 5,
    "tests/unit/network/test_ipam.py": 18,
    "chapters/16-namespaces/test_new_root.py": 16,
    "tests/architecture/test_layers.py": 0,
}


@pytest.mark.parametrize("path", PLACES)
def test_file_belongs_to_the_chapter_of_the_module_whose_name_it_bears(path: str) -> None:
    """Read the code, then read what is known about it."""
    assert next(file.chapter for file in read_files() if file.path == CHECKOUT / path) == PLACES[path]


def test_module_belongs_to_the_longest_name_that_covers_it() -> None:
    """A package's chapter is that of its modules, unless one of them is told elsewhere."""
    assert number_of_module("minidocker.image.layer") == 4
    assert number_of_module("minidocker.cli.table") == number_of_module("minidocker.cli")
    assert number_of_module("minidocker.errors") == 0
    assert number_of_module("minidocker.nothing", default=-1) == -1


def test_search_finds_a_name_first_and_words_otherwise() -> None:
    """One knows a test by the name that pytest printed, or vaguely."""
    [exact] = find_statements("test_lowest_layer_is_named_by_its_own_digest")
    assert find_statements(exact.id) == [exact]
    assert find_statements("chapters/04-layered-image/test_chain_ids.py::test_lowest_layer_is_named_by_its_own_digest") == [exact]
    assert exact in find_statements("lowest digest")
    assert not find_statements("no such words at all")


def test_explanation_tells_sentence_reason_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    """A failed assertion says that something was wrong; this says what was wanted, and why Docker wants it."""
    assert main(["explain", "lowest_layer_is_named_by_its_own_digest"]) == 0
    shown = capsys.readouterr().out
    statement = find_statements("lowest_layer_is_named_by_its_own_digest")[0]
    for part in (statement.sentence, statement.reason.split(",")[0], "assert compute_chain_ids([ONE]) == (ONE,)", "chapter 4"):
        assert part in shown
    objective = next(iter(require_exercise("chain-ids").objectives))
    assert objective in " ".join(shown.split())


def test_page_holds_every_sentence() -> None:
    """The page is made while the documentation is built, so it cannot be out of date."""
    page = render_markdown()
    assert page.count("\n- *") == len(STATEMENTS)
    assert "## 4. Layered image" in page


def test_one_chapter_of_tests_reads_as_prose(tmp_path: Path) -> None:
    """`pytest --chapter N -v` is the book aloud: what a file is about, then its sentences, each with its outcome."""
    command = [sys.executable, "-m", "pytest", "--chapter", "4", "-v", "-p", "no:cacheprovider", "tests/unit/image", "tests/unit/codec/test_whiteout.py"]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout
    assert "The identity of layers.\n  + chain id depends on everything below\n" in result.stdout
    assert "::" not in result.stdout
    assert "test_compression" not in result.stdout
