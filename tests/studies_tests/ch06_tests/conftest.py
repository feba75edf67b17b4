"""Every experiment of the chapter, run once at its quick size through the service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

import hpo
from hpo.catalog import find_definition
from hpo.finding import Finding
from hpo.reports import figures
from hpo.summary import Summary


class Experiment:
    """A study that was run, and its frames.

    Args:
        name: Name of its definition, without "ch06/".
        folder: Where its database is.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.storage = f"sqlite:///{folder / name}.db"
        definition = find_definition(f"ch06/{name}")
        self.summary: Summary = hpo.start(
            definition, quick=bool(definition.quick), storage=self.storage, workers=2
        )
        self.trials: pd.DataFrame = hpo.report(1, storage=self.storage)
        self.curves: pd.DataFrame = hpo.curves(1, storage=self.storage)

    @property
    def findings(self) -> list[Finding]:
        return list(self.summary.findings)

    def figure(self) -> Figure:
        """Draw its own figure, as `hpo plot` does."""
        return figures.own(self.summary, self.storage)


@pytest.fixture(scope="package")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Experiment]:
    """Run an experiment at the first time that it is asked for."""
    known: dict[str, Experiment] = {}
    folder = tmp_path_factory.mktemp("ch06")

    def run(name: str) -> Experiment:
        if name not in known:
            known[name] = Experiment(name, folder)
        return known[name]

    return run
