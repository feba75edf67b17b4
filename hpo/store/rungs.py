"""What the trials of a stage had come to after so many reports, for those who prune.

Read from Optuna's intermediate values, which are the reports of the study's metric. The reports of
a trial are counted in the order of their steps.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Subquery, case, func, select

from hpo.pruning import Reached
from hpo.search import Direction
from hpo.store.optuna_tables import trial_intermediate_values as reports_
from hpo.store.optuna_tables import trials
from hpo.store.studies import optuna_study_of
from hpo.store.tables import slots
from hpo.study import Stage


def most_reports(connection: Connection, stage: Stage) -> int | None:
    """Return the most reports of a trial that has completed; None as long as none has.

    One that diverged was not trained to its end.
    """
    counts = (
        select(func.count().label("reports"))
        .select_from(slots)
        .join(trials, trials.c.number == slots.c.slot)
        .join(reports_, reports_.c.trial_id == trials.c.trial_id)
        .where(
            slots.c.stage_id == stage.id,
            slots.c.state == "complete",
            slots.c.diverged_at.is_(None),
            trials.c.study_id == optuna_study_of(connection, stage),
        )
        .group_by(trials.c.trial_id)
        .subquery()
    )
    most: int | None = connection.scalar(select(func.max(counts.c.reports)))
    return most


def reached(
    connection: Connection, stage: Stage, reports: int, direction: Direction
) -> list[Reached]:
    """Return what each trial had come to after a number of reports, by slot.

    What a slot that waits to be run again has left there is passed over.
    """
    study_id = optuna_study_of(connection, stage)
    report = _numbered(study_id)
    until = case((report.c.number <= reports, report.c.value))
    best: Any = func.max(until) if direction == "maximize" else func.min(until)
    rows = connection.execute(
        select(
            slots.c.slot,
            slots.c.state,
            slots.c.diverged_at,
            func.count(report.c.number).label("reports"),
            func.max(case((report.c.number == reports, report.c.value))).label("value"),
            func.avg(until).label("mean"),
            best.label("best"),
        )
        .join(trials, (trials.c.number == slots.c.slot) & (trials.c.study_id == study_id))
        .outerjoin(report, report.c.trial_id == trials.c.trial_id)
        .where(slots.c.stage_id == stage.id, slots.c.state != "open")
        .group_by(slots.c.slot)
        .order_by(slots.c.slot)
    )
    return [
        Reached(
            slot=row.slot,
            completed=row.state == "complete" and row.diverged_at is None,
            diverged=row.diverged_at is not None,
            reports=row.reports,
            value=row.value,
            mean=row.mean,
            best=row.best,
        )
        for row in rows
    ]


def _numbered(study_id: int | None) -> Subquery:
    """Return all reports of a stage, those of each trial numbered from 1; one of NaN is NULL."""
    of_study = select(trials.c.trial_id).where(trials.c.study_id == study_id)
    number = func.row_number().over(partition_by=reports_.c.trial_id, order_by=reports_.c.step)
    return (
        select(
            reports_.c.trial_id,
            reports_.c.intermediate_value.label("value"),
            number.label("number"),
        )
        .where(reports_.c.trial_id.in_(of_study))
        .subquery()
    )
