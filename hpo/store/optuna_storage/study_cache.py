"""What is known of one study's trials, so that no finished trial is read twice."""

from __future__ import annotations

from collections.abc import Container, Sequence

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from hpo.store.optuna_storage.frozen_studies import read_directions
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
        self._last = -1
        self._witness: TrialRow | None = None

    def know(self, row: TrialRow) -> None:
        """Remember a trial of the study as its witness, if it has begun."""
        if row.datetime_start is not None:
            self._witness = row

    def is_current(self, connection: Connection) -> bool:
        """Return whether this is still the study that was cached.

        SQLite gives the id of a deleted study to the next one. A trial that has begun bears
        witness; a study without any is not worth being remembered.
        """
        if self._witness is None:
            return False
        rows = read_rows(connection, [self._witness.trial_id])
        return any(row.identity == self._witness.identity for row in rows)

    def refresh(self, connection: Connection, own: OwnTrials) -> None:
        """Read what is new.

        Args:
            connection: In a transaction.
            own: The trials that this process runs, which memory knows better than the database.
                Those that are finished are moved into the cache; those that others finished
                or queued again are removed, with what was still to be written.
        """
        new = read_rows_from(connection, self._study_id, self._last + 1)
        rows = [*read_rows(connection, sorted(self._open)), *new]
        own.follow([row.trial_id for row in rows if row.trial_id in own], rows)
        foreign = [row for row in rows if row.trial_id not in own]
        read = read_trials(connection, foreign)  # in the order of `rows`, a few at a time
        for row in rows:
            self.know(row)
            mine = own.get(row.trial_id)
            self._put(next(read) if mine is None else mine.snapshot())
            if row.trial_id not in self._open:
                own.pop(row.trial_id, None)
        if new:
            self._last = new[-1].trial_id

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


class StudyCaches(dict[int, StudyCache]):
    """The caches of a storage's studies, by their ids.

    Args:
        own: The trials that this process runs.
    """

    def __init__(self, own: OwnTrials) -> None:
        super().__init__()
        self._own = own

    def current(self, connection: Connection, study_id: int) -> StudyCache:
        """Return a study's cache, an empty one if the id is another study's now.

        Trials of the former study that still run here are lost then.

        Raises:
            KeyError: There is no such study.
        """
        cache = self.get(study_id)
        if cache is None or not cache.is_current(connection):
            self.pop(study_id, None)
            ids = [own.id for own in self._own.values() if own.study_id == study_id]
            self._own.follow(ids, read_rows(connection, ids))
            cache = self[study_id] = StudyCache(study_id, read_directions(connection, study_id))
        return cache

    def refreshed(self, connection: Connection, study_id: int) -> StudyCache:
        """Return a study's cache with what is new in it.

        Raises:
            KeyError: There is no such study.
        """
        cache = self.current(connection, study_id)
        cache.refresh(connection, self._own)
        return cache
