"""`pytest --chapter N`: the tests of one chapter, and with `-v` as prose instead of node ids.

    pytest --chapter 4 -v

prints, for each file, what it is about, and for each test its sentence. `python3 -m chapters tests --chapter 4` shows the same
sentences with their reasons, without running anything.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from chapters.catalogue import number_of_file, read_files
from chapters.screen import sentence_of


class Prose:
    """Chooses the tests of a chapter, and prints them as sentences."""

    def __init__(self, config: pytest.Config, chapter: int) -> None:
        """Take the place of pytest's own lines if it was asked to be verbose."""
        self._config, self._chapter = config, chapter
        self._is_verbose = config.option.verbose > 0
        self._shown = ""
        if self._is_verbose:
            config.option.verbose = -1  # pytest's own progress would stand between our lines

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Do not even read the files of other chapters."""
        is_other = collection_path.name.startswith("test_") and number_of_file(collection_path) != self._chapter
        return True if is_other else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out the tests of other chapters."""
        chosen = [item for item in items if number_of_file(Path(item.path)) == self._chapter]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Print no letter beside a line that says it all."""
        is_told = report.when == "call" or report.outcome != "passed"
        return (report.outcome if is_told else "", "", "") if self._is_verbose else None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print one line for a test that has ended, after what its file is about."""
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if not self._is_verbose or terminal is None or (report.when != "call" and report.outcome == "passed"):
            return
        path, _, name = report.nodeid.partition("::")
        if path != self._shown:
            self._shown = path
            terminal.ensure_newline()
            terminal.write_line("")
            terminal.write_line(next((file.about for file in read_files() if file.path.as_posix().endswith(path)), path), bold=True)
        function, _, case = name.partition("[")
        marks = {"passed": ("  + ", {"green": True}), "failed": ("  - ", {"red": True}), "skipped": ("  . ", {"yellow": True})}
        mark, colour = marks[report.outcome]
        terminal.write(mark, **colour)
        terminal.write_line(sentence_of(function) + (f" ({case[:-1]})" if case else ""))
