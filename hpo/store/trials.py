"""Trials and learning curves, read from the slots and Optuna's rows in a few queries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from hpo.store import curve_metrics, distributions
from hpo.store.optuna_tables import (
    trial_intermediate_values,
    trial_params,
    trial_values,
)
from hpo.store.optuna_tables import trials as optuna_trials
from hpo.store.studies import optuna_study_of
from hpo.store.tables import curves, retries, slots
from hpo.study import Stage
from hpo.trial import Trial, TrialState

_STATE = {
    "open": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

CurveRow = tuple[int, int, int, float, dict[str, float]]
"""Trial number, attempt, step, seconds, metrics."""


def stage_trials(connection: Connection, stage: Stage) -> list[Trial]:
    """Return the trials of a stage by number; slots that nobody has begun are left out."""
    begun = connection.execute(
        select(slots)
        .where(slots.c.stage_id == stage.id, slots.c.attempt > 0)
        .order_by(slots.c.slot)
    ).all()
    study_id = optuna_study_of(connection, stage)
    trial_ids: dict[int, int] = {
        row.number: row.trial_id
        for row in connection.execute(
            select(optuna_trials.c.number, optuna_trials.c.trial_id).where(
                optuna_trials.c.study_id == study_id
            )
        )
    }
    params = read_params(connection, trial_ids.values())
    values = _values(connection, study_id)
    steps = _step_counts(connection, stage)
    retried = _retried(connection, stage)
    found = []
    for row in begun:
        trial_id = trial_ids.get(row.slot, -1)
        found.append(
            Trial(
                stage=stage.number,
                number=row.slot,
                state=_STATE[row.state],
                params=params.get(trial_id, {}),
                value=values.get(trial_id),
                attempt=row.attempt,
                seed=row.seed,
                diverged_at=row.diverged_at,
                steps=steps.get(row.id, 0),
                seconds=row.seconds,
                reason=row.reason,
                error=row.error,
                retried=tuple(retried.get(row.id, ())),
                slot_id=row.id,
            )
        )
    return found


def stage_curves(
    connection: Connection, stage: Stage, numbers: Collection[int] | None = None
) -> list[CurveRow]:
    """Return the reported steps of the newest attempt of each trial, by trial and step.

    Args:
        connection: The database.
        stage: The stage.
        numbers: Its trials; None for all.
    """
    query = (
        select(slots.c.slot, curves.c.attempt, curves.c.step, curves.c.seconds, curves.c.metrics)
        .join(slots, (curves.c.slot_id == slots.c.id) & (curves.c.attempt == slots.c.attempt))
        .where(slots.c.stage_id == stage.id)
        .order_by(slots.c.slot, curves.c.step)
    )
    if numbers is not None:
        query = query.where(slots.c.slot.in_(numbers))
    rows = connection.execute(query)
    return [
        (r.slot, r.attempt, r.step, r.seconds, curve_metrics.from_json(r.metrics)) for r in rows
    ]


def read_params(connection: Connection, trial_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return the parameters of Optuna trials as the objective saw them, by trial id."""
    ids = list(trial_ids)
    found: dict[int, dict[str, Any]] = {}
    for chunk in _chunks(ids):
        rows = connection.execute(_PARAMS, {"ids": chunk})
        for trial_id, name, value, distribution in rows:
            found.setdefault(trial_id, {})[name] = distributions.from_row(value, distribution)
    return found


_PARAMS = (
    select(
        trial_params.c.trial_id,
        trial_params.c.param_name,
        trial_params.c.param_value,
        trial_params.c.distribution_json,
    )
    .where(trial_params.c.trial_id.in_(bindparam("ids", expanding=True)))
    .order_by(trial_params.c.param_id)
)


def _values(connection: Connection, study_id: int | None) -> dict[int, float]:
    """Return the score of each finished trial; of a pruned one its last reported value."""
    of_study = select(optuna_trials.c.trial_id).where(optuna_trials.c.study_id == study_id)
    pruned = of_study.where(optuna_trials.c.state == "PRUNED")
    last = trial_intermediate_values
    found: dict[int, float] = {}
    for trial_id, value in connection.execute(
        select(last.c.trial_id, last.c.intermediate_value)
        .where(last.c.trial_id.in_(pruned), last.c.intermediate_value_type == "FINITE")
        .order_by(last.c.trial_id, last.c.step)
    ):
        found[trial_id] = value
    for trial_id, value in connection.execute(
        select(trial_values.c.trial_id, trial_values.c.value).where(
            trial_values.c.trial_id.in_(of_study), trial_values.c.value_type == "FINITE"
        )
    ):
        found[trial_id] = value
    return found


def _step_counts(connection: Connection, stage: Stage) -> dict[int, int]:
    rows = connection.execute(
        select(slots.c.id, func.count())
        .join(curves, (curves.c.slot_id == slots.c.id) & (curves.c.attempt == slots.c.attempt))
        .where(slots.c.stage_id == stage.id)
        .group_by(slots.c.id)
    )
    return {slot_id: count for slot_id, count in rows}


def _retried(connection: Connection, stage: Stage) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for slot_id, reason in connection.execute(
        select(retries.c.slot_id, retries.c.reason)
        .join(slots, retries.c.slot_id == slots.c.id)
        .where(slots.c.stage_id == stage.id)
        .order_by(retries.c.slot_id, retries.c.attempt)
    ):
        found.setdefault(slot_id, []).append(reason)
    return found


def _chunks(ids: Sequence[int], size: int = 10_000) -> Iterable[Sequence[int]]:
    return (ids[i : i + size] for i in range(0, len(ids), size))
