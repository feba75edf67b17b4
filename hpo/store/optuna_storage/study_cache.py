"""What is known of one study's trials, so that no finished trial is read twice."""

from __future__ import annotations

from collections.abc import Container, Sequence

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from hpo.store.optuna_storage.frozen_trials import (
    TrialRow,
    read_rows,
    read_rows_from,
    read_trials,
)
from hpo.store.optuna_storage.own_trials import OwnTrials

_FINISHED = [state for state in TrialState if state.is_finished()]


class StudyCache:
    """A study's trials, brought up to date by reading what can have changed.

    That is: rows behind the last known one, and trials that were not finished. Finished trials are
    kept from the moment on that someone asks for them: samplers that learn ask before each trial,
    but a random search never does, and would grow by some kilobytes with each trial. Not
    thread-safe: the storage's lock guards it.

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
        self._keeps_finished = False
        self._open: set[int] = set()
        self._last: TrialRow | None = None

    def refresh(self, connection: Connection, own: OwnTrials) -> bool:
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
        last = -1 if self._last is None else self._last.trial_id
        # From the last known trial on, so that its row can vouch for all the others.
        new = read_rows_from(connection, self._study_id, last)
        if self._last is not None and not (new and _same_trial(self._last, new[0])):
            return False
        seen = {row.trial_id for row in new}
        rows = [*read_rows(connection, sorted(self._open - seen)), *new]
        rows = [row for row in rows if row.trial_id > last or row.trial_id in self._open]
        foreign = []
        for row in rows:
            mine = own.get(row.trial_id)
            if mine is None:
                foreign.append(row)
            elif mine.state == TrialState.RUNNING and row.state != "RUNNING":
                del own[row.trial_id]
                foreign.append(row)
        read = read_trials(connection, foreign)  # in the order of `rows`, a few at a time
        for row in rows:
            mine = own.get(row.trial_id)
            self._put(next(read) if mine is None else mine.snapshot())
            if row.trial_id not in self._open:
                own.pop(row.trial_id, None)
        if new:
            self._last = new[-1]
        return True

    def select(
        self, connection: Connection, states: Container[TrialState] | None
    ) -> list[FrozenTrial]:
        """Return the trials in some states, or all, sorted by their ids.

        Args:
            connection: In the transaction of the last `refresh`.
            states: The states, or None for all.
        """
        if states is not None and not any(state in states for state in _FINISHED):
            # `Study.ask` looks for waiting trials each time: not a search through all of them.
            trials_ = [self._trials[trial_id] for trial_id in sorted(self._open)]
        else:
            self._keep_finished(connection)
            trials_ = list(self._trials.values())
            if states is None:
                return trials_
        return [trial for trial in trials_ if trial.state in states]

    def _keep_finished(self, connection: Connection) -> None:
        if self._keeps_finished:
            return
        rows = read_rows_from(connection, self._study_id, -1)
        read = read_trials(connection, [row for row in rows if row.trial_id not in self._open])
        self._trials = {
            row.trial_id: self._trials[row.trial_id] if row.trial_id in self._open else next(read)
            for row in rows
        }
        self._keeps_finished = True

    def _put(self, trial: FrozenTrial) -> None:
        if not trial.state.is_finished():
            self._trials[trial._trial_id] = trial
            self._open.add(trial._trial_id)
            return
        self._open.discard(trial._trial_id)
        if self._keeps_finished:
            self._trials[trial._trial_id] = trial
        else:
            self._trials.pop(trial._trial_id, None)
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
