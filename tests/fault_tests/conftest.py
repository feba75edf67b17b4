"""What the tests share that start, stop and kill commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import TESTS
from storm import signals_as_in_a_terminal


@pytest.fixture
def command_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder, where commands find `storm` and get signals as in a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    monkeypatch.setenv("PYTHONPATH", TESTS)
    with signals_as_in_a_terminal():
        yield
