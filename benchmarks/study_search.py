"""Real studies: each way to search 99 trials of a network, and the test of what it recommends."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import hpo
from hpo import catalog
from hpo.definition import Definition
from hpo.objective import Diverged
from hpo.space import Float, Space
from hpo.summary import Summary
from hpo.trial import Trial
from studies import mlp

STAGES = 3
TRIALS = 33
BUDGET = STAGES * TRIALS
CHANCE = 0.1
BOOK = "mnist-book"
LOW = "mnist-book from lr 1e-6 to 1e-3"  # where everything is near chance

Search = Callable[[Definition, str], Summary]


def loop(definition: Definition, storage: str) -> Summary:
    return hpo.start(definition, storage=storage, stages=STAGES, trials=TRIALS, workers=1)


def book(definition: Definition, storage: str) -> Summary:
    summary = hpo.start(definition, storage=storage, trials=TRIALS, workers=1)
    for _ in range(STAGES - 1):
        summary = hpo.narrow(summary.study.id, storage=storage, rule="book", workers=1)
    return summary


def in_the_box(sampler: str) -> Search:
    def search(definition: Definition, storage: str) -> Summary:
        return hpo.start(definition, storage=storage, sampler=sampler, trials=BUDGET, workers=1)

    return search


def in_a_wide_box(definition: Definition, storage: str) -> Summary:
    """TPE where somebody typed every range two decades wider at both ends."""
    wide = {
        name: replace(axis, low=axis.low / 100, high=axis.high * 100)
        for name, axis in definition.space.axes.items()
        if isinstance(axis, Float)
    }
    return in_the_box("tpe")(replace(definition, space=Space(wide)), storage)


METHODS: dict[str, Search] = {
    "random": in_the_box("random"),
    "QMC": in_the_box("qmc"),
    "book": book,
    "TPE": in_the_box("tpe"),
    "CMA-ES": in_the_box("cmaes"),
    "GP": in_the_box("gp"),
    "hpo": loop,
    "TPE, wide box": in_a_wide_box,
}
if importlib.util.find_spec("torch") is None:
    del METHODS["GP"]


def pairs(quick: bool) -> Iterator[tuple[str, str]]:
    """Return each study with each method; from a bad start those that show the difference."""
    for study in (BOOK,) if quick else (BOOK, LOW, "digits"):
        for method in ("random", "TPE", "hpo") if quick or study == LOW else METHODS:
            yield study, method


def definition_of(study: str) -> Definition:
    if study != LOW:
        return catalog.find_definition(study)
    definition = catalog.find_definition(BOOK)
    low = replace(definition.space["lr"], low=1e-6, high=1e-3)
    return replace(definition, space=Space({**definition.space.axes, "lr": low}))


@dataclass(frozen=True)
class Found:
    """What one search recommended, and what that is worth."""

    trials: int
    stages: int
    samplers: list[str]
    stopped: str | None
    params: dict[str, Any]
    score: float  # of the recommended setting's trial, on the validation set
    expected: float  # its posterior mean
    test: float  # mean of five retrainings, as `hpo final` says
    tests: list[float]
    best_params: dict[str, Any]  # of the best result
    best_score: float
    best_test: float  # the same test of the best result
    space: dict[str, Any]  # of the last stage


def searched(study: str, method: str, seed: int) -> Found:
    definition = definition_of(study).searching(seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{Path(folder) / 'hpo.db'}"
        summary = METHODS[method](definition, storage)
        use = hpo.final(summary.study.id, storage=storage).use
    tests = [
        CHANCE if r is None or r.metrics is None else r.metrics["accuracy"] for r in use.results
    ]
    recommended = summary.best()
    assert recommended is not None
    (best,) = summary.top(count=1)
    return Found(
        trials=sum(len(trials) for trials in summary.trials),
        stages=len(summary.stages),
        samplers=[stage.sampler for stage in summary.stages],
        stopped=summary.stopped,
        params=dict(recommended.params),
        score=recommended.value,
        expected=recommended.mean,
        test=fmean(tests),
        tests=tests,
        best_params=dict(best.params),
        best_score=best.value or CHANCE,
        best_test=fmean(_tests(definition, best, use.seeds)),
        space=summary.last.space.to_json(),
    )


def _tests(definition: Definition, trial: Trial, seeds: Sequence[int]) -> list[float]:
    """Test a setting as `hpo final` does; the product tests the recommended one only."""
    found = []
    for seed in seeds:
        try:
            found.append(mlp.test({**(definition.fixed or {}), **trial.params}, seed)["accuracy"])
        except Diverged:
            found.append(CHANCE)
    return found
