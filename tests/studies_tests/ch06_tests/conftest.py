"""Every experiment of the chapter, run once at its quick size through the service.

Once for all processes that share the tests: who comes first runs it, the others wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from processes import eventually

import hpo
from hpo.catalog import find_definition
from hpo.finding import Finding
from hpo.reports import plotting
from hpo.summary import Summary


class Experiment:
    """A study that was run, and its frames.

    Args:
        name: Name of its definition, without "ch06/".
        folder: Where its database is.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.storage = f"sqlite:///{folder / name}.db"
        begun, ended = folder / f"{name}.begun", folder / f"{name}.ended"
        try:
            begun.touch(exist_ok=False)
        except FileExistsError:
            eventually(ended.exists, within=120)
        else:
            definition = find_definition(f"ch06/{name}")
            hpo.start(definition, quick=True, storage=self.storage, workers=2)
            ended.touch()
        self.summary: Summary = hpo.show(1, storage=self.storage)
        self.trials: pd.DataFrame = hpo.report(1, storage=self.storage)
        self.curves: pd.DataFrame = hpo.curves(1, storage=self.storage)

    @property
    def findings(self) -> list[Finding]:
        return list(self.summary.findings)

    def as_if_all(self, contender: str, *, were: object, by: str | None = None) -> pd.DataFrame:
        """Return the curves that the study would have, had all contenders done what one did.

        Args:
            contender: The parameter that tells the contenders apart.
            were: Its value whose curves all get, seed by seed.
            by: Another parameter, each value of which has contenders of its own.
        """
        shared = ["seed"] if by is None else ["seed", f"params_{by}"]
        chosen = self.trials[self.trials[f"params_{contender}"] == were]
        sources = self.trials[["trial", *shared]].merge(
            chosen[["trial", *shared]], on=shared, suffixes=("", "_source")
        )
        steps = self.curves.rename(columns={"trial": "trial_source"})
        return sources[["trial", "trial_source"]].merge(steps, on="trial_source")

    def figure(self) -> Figure:
        """Draw its own figure, as `hpo plot` does."""
        return plotting.own(self.summary, self.storage)


@pytest.fixture(scope="package")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Experiment]:
    """Run an experiment at the first time that it is asked for."""
    known: dict[str, Experiment] = {}
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "ch06"
    folder.mkdir(exist_ok=True)

    def run(name: str) -> Experiment:
        if name not in known:
            known[name] = Experiment(name, folder)
        return known[name]

    return run
