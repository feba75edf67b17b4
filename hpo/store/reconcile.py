"""Slots and trials brought to agreement, after the dashboard has changed a stage's trials.

The dashboard's "rename" reads all trials of a study, writes them into a new one and deletes the
old. What we wrote meanwhile went into the old one and is gone with it. The parameters and the score
of a trial stand in Optuna's tables only, so its slot is opened again: with the same parameters and
seed it comes to the same result.

It also lets a person end a trial that is not finished ("tell"), which cannot be undone: the slot is
counted as they said. And Optuna lets any program put a running trial back into its queue, for which
there is nobody to take it out again but us.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select, update

from hpo.store import curve_metrics, trial_rows
from hpo.store.optuna_tables import trials
from hpo.store.studies import close_if_counted, optuna_study_of
from hpo.store.tables import curves, retries, slots, stages
from hpo.study import Stage

COPIED = "copied"
"""Why an attempt did not count whose result is not in the copy, in `hpo_retries`."""

REQUEUED = "requeued"
"""Why an attempt did not count whose trial another program put back into Optuna's queue."""

TOLD = "told"
"""Why a slot has its state that a person has ended, in `hpo_slots`."""

_SLOT_STATE = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def reconcile(connection: Connection, stage: Stage, metric: str) -> None:
    """Open the slots again whose trial is missing or in an earlier state; count those told.

    Nothing is changed if the Optuna study is gone, or lacks other trials than the last ones: no
    copy does that, and `hpo db check` tells.

    Args:
        connection: In a write transaction.
        stage: The stage.
        metric: Name of the metric that Optuna's tools show as the learning curve.
    """
    study_id = optuna_study_of(connection, stage)
    if study_id is None:
        return
    theirs = {
        row.number: row
        for row in connection.execute(select(trials).where(trials.c.study_id == study_id))
    }
    begun = connection.execute(
        select(slots)
        .where(slots.c.stage_id == stage.id, slots.c.attempt > 0)
        .order_by(slots.c.slot)
    ).all()
    if [row.slot for row in begun[: len(theirs)]] != sorted(theirs)[: len(begun)]:
        return
    for row in begun:
        trial = theirs.get(row.slot)
        if trial is None:
            trial_rows.append_trial(connection, study_id, started=datetime.now(UTC))
            if row.state != "open":
                _open(connection, row, COPIED)
        elif trial.state == "WAITING":
            trial_rows.start_trial(connection, trial.trial_id, datetime.now(UTC))
            if row.state != "open":
                _open(connection, row, REQUEUED)
        elif trial.state == "RUNNING" and row.state == "running":
            _show_curve(connection, row, trial.trial_id, metric)
        elif trial.state == "RUNNING" and row.state != "open":
            _open(connection, row, COPIED)
        elif trial.state in _SLOT_STATE and row.state in ("open", "running"):
            _count(connection, row, trial)
    close_if_counted(connection, stage)


def _open(connection: Connection, row: Any, reason: str) -> None:
    nothing = dict.fromkeys(("owner", "lease", "seconds", "diverged_at", "reason", "error"))
    connection.execute(update(slots).where(slots.c.id == row.id).values(state="open", **nothing))
    connection.execute(update(stages).where(stages.c.id == row.stage_id).values(finished_at=None))
    connection.execute(
        retries.insert().values(
            slot_id=row.id,
            attempt=row.attempt,
            reason=reason,
            owner=row.owner,
            ended_at=datetime.now(UTC),
        )
    )


def _count(connection: Connection, row: Any, trial: Any) -> None:
    waited = row.state == "open"
    if waited:  # its curve is that of an attempt that did not count
        trial_rows.delete_intermediate_values(connection, trial.trial_id)
    connection.execute(
        update(slots)
        .where(slots.c.id == row.id)
        .values(
            state=_SLOT_STATE[trial.state],
            attempt=row.attempt + waited,
            owner=None,
            lease=None,
            seconds=(trial.datetime_complete - trial.datetime_start).total_seconds(),
            reason=TOLD,
        )
    )


def _show_curve(connection: Connection, row: Any, trial_id: int, metric: str) -> None:
    """Write what the running attempt has reported, of which the copy may lack the end."""
    reported = connection.execute(
        select(curves.c.step, curves.c.metrics).where(
            curves.c.slot_id == row.id, curves.c.attempt == row.attempt
        )
    )
    values = {
        step: curve_metrics.from_json(metrics)[metric]
        for step, metrics in reported
        if metric in metrics
    }
    trial_rows.insert_intermediate_values(connection, trial_id, values)
