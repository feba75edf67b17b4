"""Each test works in a folder of its own, as a user would, with a database of its own."""

from pathlib import Path

import databases
import pytest
from sqlalchemy import Engine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the working directory, with nothing of hpo in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    monkeypatch.delenv("HPO_DATA_DIR", raising=False)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database is to be."""
    return tmp_path / "hpo.db"


@pytest.fixture
def engine(path: Path) -> Engine:
    """Return a new database."""
    return databases.new(path)
