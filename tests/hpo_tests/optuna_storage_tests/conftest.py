"""A database for the trials of Optuna's studies, and Optuna's own storage on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage


@pytest.fixture(autouse=True)
def _quiet_optuna() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/trials.db"


@pytest.fixture
def open_stock() -> Iterator[Callable[[str], RDBStorage]]:
    opened: list[RDBStorage] = []

    def open_(url: str) -> RDBStorage:
        opened.append(RDBStorage(url))
        return opened[-1]

    yield open_
    for storage in opened:
        storage.engine.dispose()
