"""The trials of one study as last read, so that no finished trial is read twice."""

from __future__ import annotations

from collections.abc import Container, Sequence

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, bindparam
from sqlalchemy.dialects import sqlite

from hpo.store.frozen_trials import TRIAL_ROWS, TrialRow, read_rows, read_trials
from hpo.store.optuna_tables import trials
from hpo.store.own_trial import OwnTrial

_FINISHED = [state for state in TrialState if state.is_finished()]

# From the last known trial on, so that its row can vouch for all the others. For the driver, as
# in `trial_rows`: this is asked before each trial.
_ROWS_FROM = str(
    TRIAL_ROWS.where(trials.c.study_id == bindparam("id"), trials.c.trial_id >= bindparam("first"))
    .order_by(trials.c.trial_id)
    .compile(dialect=sqlite.dialect())
)


class StudyCache:
    """A study's trials, brought up to date by reading what can have changed.

    That is: rows behind the last known one, and trials that were not finished. Not thread-safe:
    the storage's lock guards it.

    Args:
        study_id: The study.
        directions: Its directions.
    """

    def __init__(self, study_id: int, directions: Sequence[StudyDirection]) -> None:
        self.directions = list(directions)
        self.distributions: dict[str, BaseDistribution] = {}
        self.best: FrozenTrial | None = None
        self._study_id = study_id
        self._trials: dict[int, FrozenTrial] = {}  # in the order of their ids
        self._open: set[int] = set()
        self._last: TrialRow | None = None

    def refresh(self, connection: Connection, own: dict[int, OwnTrial]) -> bool:
        """Read what is new.

        Args:
            connection: In a transaction.
            own: The trials that this process runs, which memory knows better than the database.
                Those that are finished are moved into the cache; those that another program
                finished are removed, with what was still to be written.

        Returns:
            False if this is no longer the study that was cached: SQLite gives the ids of a
            deleted study to the next one. Start again with an empty cache then.
        """
        first = -1 if self._last is None else self._last.trial_id
        new = connection.exec_driver_sql(_ROWS_FROM, (self._study_id, first)).all()
        if self._last is not None and not (new and _same_trial(self._last, new[0])):
            return False
        seen = {row.trial_id for row in new}
        rows = [*read_rows(connection, sorted(self._open - seen)), *new]
        rows = [
            row for row in rows if row.trial_id not in self._trials or row.trial_id in self._open
        ]
        foreign = []
        for row in rows:
            mine = own.get(row.trial_id)
            if mine is None:
                foreign.append(row)
            elif mine.state == TrialState.RUNNING and row.state != "RUNNING":
                del own[row.trial_id]
                foreign.append(row)
        read = {trial._trial_id: trial for trial in read_trials(connection, foreign)}
        for row in rows:
            self._put(read.get(row.trial_id) or own[row.trial_id].snapshot())
            if row.trial_id not in self._open:
                own.pop(row.trial_id, None)
        if new:
            self._last = new[-1]
        return True

    def select(self, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """Return the trials in some states, or all, sorted by their ids."""
        if states is None:
            return list(self._trials.values())
        if not any(state in states for state in _FINISHED):
            # `Study.ask` looks for waiting trials each time: not a search through all of them.
            trials_ = [self._trials[trial_id] for trial_id in sorted(self._open)]
        else:
            trials_ = list(self._trials.values())
        return [trial for trial in trials_ if trial.state in states]

    def _put(self, trial: FrozenTrial) -> None:
        self._trials[trial._trial_id] = trial
        if not trial.state.is_finished():
            self._open.add(trial._trial_id)
            return
        self._open.discard(trial._trial_id)
        if len(self.directions) == 1 and trial.state == TrialState.COMPLETE:
            self._keep_best(trial)

    def _keep_best(self, trial: FrozenTrial) -> None:
        # Optuna logs the best trial after each one; searching it each time would make a trial
        # cost the more, the longer the study is.
        value = trial.value
        best = None if self.best is None else self.best.value
        if value is None:
            return
        maximize = self.directions[0] == StudyDirection.MAXIMIZE
        if best is None or (value > best if maximize else value < best):
            self.best = trial


def _same_trial(known: TrialRow, row: TrialRow) -> bool:
    return known.trial_id == row.trial_id and (
        known.datetime_start is None or known.datetime_start == row.datetime_start
    )
