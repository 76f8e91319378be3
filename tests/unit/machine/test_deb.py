"""Debian packages, read without dpkg."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidocker.codec.tar import InvalidArchive
from minidocker.machine.deb import read_all, read_files
from tests.unit.machine.packages_for_tests import make_package

FILES = {"boot/vmlinuz-6.1": b"kernel", "usr/share/doc/x": b"odd"}


def test_files_of_a_package_come_in_their_order(tmp_path: Path) -> None:
    """Names without the `./` that dpkg-deb puts in front."""
    path = tmp_path / "p.deb"
    path.write_bytes(make_package(FILES))
    assert [(name, read_all(content)) for name, content in read_files(path)] == list(FILES.items())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(min_value=0, max_value=len(make_package(FILES)) - 30))
def test_package_that_is_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    """A download that broke off: wherever it did, one error, and not some of the files."""
    path = tmp_path / "p.deb"
    path.write_bytes(make_package(FILES)[:length])
    with pytest.raises(InvalidArchive):
        list(read_files(path))
