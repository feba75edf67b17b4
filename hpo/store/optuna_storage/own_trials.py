"""The trials that this process runs, and what of them is not in the database yet."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from hpo.store.optuna_storage.connections import Connections
from hpo.store.optuna_storage.frozen_trials import TrialRow, read_rows
from hpo.store.trial_rows import (
    ParamRow,
    insert_intermediate_values,
    insert_params,
    set_system_attrs,
    set_user_attrs,
)


class OwnTrial:
    """The record of a trial in memory, with the changes that are still to be written.

    A commit for each reported value is what makes Optuna's own storage slow; here a training
    loop's values wait for each other. Not thread-safe: the storage's lock guards it.

    Args:
        row: The trial's row.
        trial: The trial as the database has it. Becomes this object's own.
    """

    def __init__(self, row: TrialRow, trial: FrozenTrial) -> None:
        self.study_id = row.study_id
        self.identity = row.identity
        self._record = trial
        self._params: list[ParamRow] = []
        self._intermediate_values: dict[int, float] = {}
        self._user_attrs: dict[str, Any] = {}
        self._system_attrs: dict[str, Any] = {}
        self.unwritten = 0
        """Number of changes that are not in the database yet."""
        self.is_finished = False
        """Whether this process has finished it."""

    @property
    def id(self) -> int:
        """The trial's id."""
        return self._record._trial_id

    @property
    def state(self) -> TrialState:
        """The trial's state, as far as this process knows."""
        return self._record.state

    @property
    def number(self) -> int:
        """The trial's number in its study."""
        return self._record.number

    def set_param(self, name: str, internal: float, distribution: BaseDistribution) -> None:
        """Add a parameter; as in Optuna's database, the first value of a name stays."""
        if name not in self._record.params:
            self._record.params[name] = distribution.to_external_repr(internal)
            self._record.distributions[name] = distribution
            self._params.append((name, float(internal), distribution_to_json(distribution)))
            self.unwritten += 1

    def set_value(self, step: int, value: float) -> None:
        """Set the value of a step."""
        self._record.intermediate_values[step] = value
        self._intermediate_values[step] = value
        self.unwritten += 1

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set a user attribute, as what comes back from JSON."""
        self._record.user_attrs[key] = self._user_attrs[key] = json.loads(json.dumps(value))
        self.unwritten += 1

    def set_system_attr(self, key: str, value: Any) -> None:
        """Set a system attribute, as what comes back from JSON."""
        self._record.system_attrs[key] = self._system_attrs[key] = json.loads(json.dumps(value))
        self.unwritten += 1

    def finish(
        self, state: TrialState, values: Sequence[float] | None, completed: datetime | None
    ) -> None:
        """Record the end of the trial, after it was committed."""
        self._record.state = state
        self.is_finished = True
        self._record.datetime_complete = completed
        if values is not None:
            self._record.values = [float(value) for value in values]

    def write(self, connection: Connection) -> None:
        """Write the changes. They are kept until `written`, since the commit may fail."""
        insert_params(connection, self.id, self._params)
        insert_intermediate_values(connection, self.id, self._intermediate_values)
        set_user_attrs(connection, self.id, self._user_attrs)
        set_system_attrs(connection, self.id, self._system_attrs)

    def written(self) -> None:
        """Forget the changes, after the commit that made them permanent."""
        self._params.clear()
        self._intermediate_values.clear()
        self._user_attrs.clear()
        self._system_attrs.clear()
        self.unwritten = 0

    def snapshot(self) -> FrozenTrial:
        """Return a copy that later changes do not reach.

        Always a new one: `optuna.Trial` writes into the trial that a storage hands it.
        """
        trial = copy.copy(self._record)
        trial.params = dict(trial.params)
        trial.distributions = dict(trial.distributions)
        trial.user_attrs = dict(trial.user_attrs)
        trial.system_attrs = dict(trial.system_attrs)
        trial.intermediate_values = dict(trial.intermediate_values)
        return trial


class OwnTrials(dict[int, OwnTrial]):
    """The running trials of one storage in this process, by their ids.

    Finished ones stay until the study's cache takes them over. Not thread-safe: the storage's
    lock guards it.
    """

    def __init__(self) -> None:
        super().__init__()
        # What to tell an objective that goes on with a trial which is not ours any more. It has
        # no more than the id, and that can be another trial's by then.
        self._lost: dict[int, Exception] = {}

    def take(self, own: OwnTrial) -> None:
        """Begin to run a trial."""
        self[own.id] = own
        self._lost.pop(own.id, None)

    def lose(self, trial_id: int) -> None:
        """Let go of a trial that is not there any more; to go on with it here is an error."""
        if not self.pop(trial_id).is_finished:
            self._lost[trial_id] = KeyError(
                f"The trial with the id {trial_id} that ran here is gone: "
                "its study was deleted, or the trial was queued again."
            )

    def check(self, trial_id: int) -> None:
        """Refuse an id whose trial ran here until others took it, as long as no new one does.

        Raises:
            KeyError: It was deleted or queued again.
            UpdateFinishedTrialError: It was finished.
        """
        if trial_id in self._lost:
            raise self._lost[trial_id].with_traceback(None)

    def confirmed(self, connection: Connection, trial_id: int) -> OwnTrial | None:
        """Return a trial, if the database has it still as one of this process."""
        if trial_id in self:
            self.follow([trial_id], read_rows(connection, [trial_id]))
        return self.get(trial_id)

    def follow(self, trial_ids: Iterable[int], rows: Iterable[TrialRow]) -> None:
        """Let go of trials that others finished, deleted or queued again.

        Args:
            trial_ids: Some of these trials.
            rows: What the database has now under their ids.
        """
        found = {row.trial_id: row for row in rows}
        for trial_id in trial_ids:
            own, row = self[trial_id], found.get(trial_id)
            if row is None or row.identity != own.identity or row.state == "WAITING":
                self.lose(trial_id)
            elif row.state != "RUNNING" and not own.is_finished:
                del self[trial_id]
                self._lost[trial_id] = already_finished(own.number)

    def flush(self, connections: Connections) -> None:
        """Write all that is held back; what belongs to a trial that is no more ours is dropped.

        Its writer is told at its next write.
        """
        changed = [trial_id for trial_id, own in self.items() if own.unwritten]
        if not changed:
            return
        with connections.writing() as connection:
            self.follow(changed, read_rows(connection, changed))
            still_ours = [self[trial_id] for trial_id in changed if trial_id in self]
            for own in still_ours:
                own.write(connection)
        for own in still_ours:
            own.written()


def already_finished(number: int) -> UpdateFinishedTrialError:
    """Return the error for a change that comes after a trial's end."""
    return UpdateFinishedTrialError(f"Trial {number} is finished and cannot be changed any more.")
