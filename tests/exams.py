"""Studies that can be tested: `objectives/exam.py` lies beside their definition."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from databases import sql
from objectives.files import place

import hpo
from hpo.errors import ObjectiveError
from hpo.summary import Summary

DATABASE = Path("hpo.db")
EXAM = Path(__file__).parent / "objectives" / "exam.py"


def start(test: str = "plain", objective: str = "accuracy", **keys: Any) -> Summary:
    """Run a study of four trials whose definition has a `test`."""
    shutil.copy(EXAM, Path.cwd())
    fixed = {"bonus": 0.0, **keys.pop("fixed", {})}
    search = {"trials": 4, **keys.pop("search", {})}
    name = test if ":" in test else f"exam:{test}"
    keys = {"metric": "val_accuracy", "fixed": fixed, "search": search, "test": name, **keys}
    return hpo.start(place(Path.cwd(), objective, **keys), workers=2)


def rows(columns: str) -> list[tuple[Any, ...]]:
    return sql(DATABASE, f"SELECT {columns} FROM hpo_test_uses ORDER BY study_id, number")


def calls() -> dict[int, int]:
    """Return how often `test` was called with each seed."""
    return {int(p.name[5:]): len(p.read_text()) for p in Path.cwd().glob("seed-*")}


def mean_and_sd() -> tuple[float, float]:
    """Return those of the accuracies of the last use, as they are stored."""
    values = [r["metrics"]["accuracy"] for r in json.loads(rows("results")[-1][0])]
    return statistics.fmean(values), statistics.stdev(values)


def refused(error: type[Exception], study: int | str = 1, **options: Any) -> str:
    with pytest.raises(error) as caught:
        hpo.final(study, **options)
    return str(caught.value)


def interrupted(mood: str = "raise", **keys: Any) -> tuple[int, str]:
    """Begin a use that ends early; return its trial and what was told."""
    start("moody", "slope", **keys)
    Path("mood").write_text(mood)
    told = refused(ObjectiveError)
    Path("mood").write_text("")
    return rows("slot")[0][0], told
