"""What happens to a study whose folder is moved, or whose database is deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hpo
from hpo.errors import DatabaseError

OBJECTIVE = """
import os
def train(params, run):
    if params["victim"]:
        if os.path.exists(params["victim"]):
            os.remove(params["victim"])
    return params["x"]
"""


def folder(path: Path, victim: str = "") -> Path:
    path.mkdir()
    (path / "wander.py").write_text(OBJECTIVE)
    (path / "my.toml").write_text(
        'objective = "wander:train"\ndirection = "maximize"\n'
        "[space]\nx = { low = 0.0, high = 1.0 }\n"
        f'[fixed]\nvictim = "{victim}"\n[search]\ntrials = 2\n'
    )
    return path


def test_a_study_goes_on_in_the_folder_that_it_was_moved_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = folder(tmp_path / "old")
    storage = f"sqlite:///{tmp_path}/x.db"
    hpo.start(old / "my.toml", storage=storage, workers=1)
    monkeypatch.chdir(old.rename(tmp_path / "new"))
    summary = hpo.resume(1, trials=4, storage=storage, workers=1)
    assert summary.counts(summary.last).complete == 4


def test_a_database_that_is_deleted_under_a_study_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    home = folder(tmp_path / "home", str(file))
    with pytest.raises(DatabaseError, match="was removed or moved while it was in use"):
        hpo.start(home / "my.toml", storage=f"sqlite:///{file}", workers=1)
    assert not os.path.exists(file)
