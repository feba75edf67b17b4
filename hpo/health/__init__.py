"""What is wrong with a study, and which command mends it: `hpo check`.

Each check is a function of a `Case` that answers with a `Verdict`, or with None where it has
nothing to go by. Reading order: verdict, case; then the checks: budget, ranges, learning, trust.

It is not about the database, which is `hpo db check`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hpo.health import budget, learning, ranges, trust
from hpo.health.case import Case, Curve
from hpo.health.verdict import Verdict
from hpo.launch import open_study
from hpo.overview import summarize
from hpo.store.engine import reading
from hpo.store.trials import stage_curves
from hpo.summary import Summary

CHECKS: Mapping[str, Callable[[Case], Verdict | None]] = MappingProxyType(
    {
        "open": budget.open_stages,
        "trials": budget.trials,
        "failed": budget.failed,
        "diverged": ranges.diverged,
        "flat": ranges.flat,
        "edge": ranges.edges,
        "idle": ranges.idle,
        "curves": learning.curves,
        "overfit": learning.overfit,
        "validation": trust.validation,
        "noise": trust.noise,
        "duplicates": budget.duplicates,
    }
)
"""By name, in the order in which they are told."""


def check(study: str | int, *, storage: str | None = None) -> list[Verdict]:
    """Return what the checks say of a study: passed, or a warning or failure with its remedy.

    They are about the last stage that searches, with what `narrow` would look at; `open`,
    `validation`, `noise` and `duplicates` about all stages. A check that has nothing to go by is
    left out, as `edge` where there are too few trials.

    Args:
        study: Id or name.
        storage: URL of the database.

    Raises:
        NotFoundError: There is no such study.
    """
    return verdicts(*examined(study, storage))


def examined(study: str | int, storage: str | None) -> tuple[Summary, dict[int, Curve]]:
    """Return a study with the learning curves of the best trials of its last search."""
    with open_study(study, storage) as (engine, found):
        summary = summarize(engine, found)
        stage = summary.searches[-1]
        best = {trial.number for trial in summary.top(stage) if not trial.diverged}
        curves: dict[int, list[Mapping[str, float]]] = {number: [] for number in best}
        with reading(engine) as connection:
            for number, _, _, _, metrics in stage_curves(connection, stage, best):
                curves[number].append(metrics)
    return summary, dict(curves)


def verdicts(summary: Summary, curves: Mapping[int, Curve]) -> list[Verdict]:
    """Return what the checks say of a study that was read.

    Args:
        summary: The study as it stands.
        curves: The learning curves of the best trials of its last search, by trial number.
    """
    case = Case(summary, curves)
    said = (ask(case) for ask in CHECKS.values())
    return [verdict for verdict in said if verdict is not None]


def to_json(summary: Summary, said: Sequence[Verdict]) -> dict[str, Any]:
    """Return the document that `hpo check --json` prints."""
    study = summary.study
    return {
        "study": {"id": study.id, "name": study.name, "uuid": study.uuid},
        "findings": [verdict.to_json() for verdict in said],
    }
