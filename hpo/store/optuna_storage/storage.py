"""`hpo.Storage`: the database, for any program that speaks Optuna.

    study = optuna.create_study(storage=hpo.Storage("sqlite:///hpo.db"))

It reads and writes the tables of Optuna's own `RDBStorage`, so that both can work on one file at
the same time, and differs in what made that one slow or unsafe for several processes on SQLite:

* Values of a running trial are written together, at the latest after `FLUSH_AFTER_S`; whatever
  ends a trial is written, with all that came before it, before the call returns.
* A finished trial is never read twice, and not kept unless someone asks for finished trials.
* Every write is one `BEGIN IMMEDIATE` transaction that checks the trial's state itself: a queued
  trial is handed out once, and who comes too late is told so.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast, get_args
from uuid import uuid4

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table
from sqlalchemy.engine import make_url

from hpo.errors import DatabaseError, UsageError
from hpo.store import migrations, trial_rows
from hpo.store.engine import DEFAULT_URL, Durability, Mode, database_path, open_engine
from hpo.store.optuna_storage import frozen_studies, frozen_trials, lifecycle
from hpo.store.optuna_storage.connections import Connections
from hpo.store.optuna_storage.frozen_trials import TrialRow
from hpo.store.optuna_storage.own_trials import OwnTrial, OwnTrials, already_finished
from hpo.store.optuna_storage.study_cache import StudyCaches
from hpo.store.optuna_tables import study_system_attributes, study_user_attributes

FLUSH_AFTER_S = 1.0
FLUSH_AT_CHANGES = 512

_log = logging.getLogger(__name__)


class Storage(BaseStorage):
    """An Optuna storage on a SQLite file. Missing, the file is created.

    May be shared by threads, pickled, and carried over a fork; each process then has connections
    of its own. A trial is written by the process that runs it; once the storage was pickled, its
    running trials may be written by others, and nothing of them is held back any more.

    Args:
        url: A SQLite URL.
        read_only: Refuse every write, and a missing file.
        durability: What a finished trial survives: "normal" the death of any process, "full" a
            power cut too; each then waits for the disk.

    Raises:
        UsageError: There is no such durability.
        DatabaseError: The URL cannot be used, or names something else than such a database.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        read_only: bool = False,
        durability: Durability = "normal",
    ) -> None:
        if durability not in get_args(Durability):
            allowed = " or ".join(map(repr, get_args(Durability)))
            raise UsageError(f"durability is {durability!r}. Give {allowed}")
        # Absolute, so that a copy in another process finds it from wherever it works.
        path = database_path(url).resolve()
        self._url = make_url(url).set(database=str(path)).render_as_string(hide_password=False)
        self._read_only = read_only
        self._durability: Durability = durability
        if not read_only:
            engine = open_engine(self._url, "create", durability)
            migrations.prepare(engine)
            engine.dispose()
        self._connect()

    def _connect(self) -> None:
        mode: Mode = "read" if self._read_only else "write"
        self._connections = Connections(self._url, mode, self._durability)
        self._begin()
        with self._reading():
            pass  # What cannot be read is refused here, not at the first question.
        lifecycle.watch(self)

    def _begin(self) -> None:
        """Begin as a process that has done nothing yet."""
        self._lock = threading.RLock()
        self._own = OwnTrials()
        self._caches = StudyCaches(self._own)
        self._timer: threading.Timer | None = None

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            self._flush()
            self._own.clear()
        return {name: self.__dict__[name] for name in ("_url", "_read_only", "_durability")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()

    def _before_fork(self) -> None:
        self._lock.acquire()
        self._connections.close()

    def _after_fork(self, in_child: bool) -> None:
        if in_child:
            self._begin()
        else:
            self._lock.release()

    def _end(self) -> None:
        with self._lock:
            self._flush()
            self._connections.close()

    def remove_session(self) -> None:
        """Write what is still held back. Optuna calls this at the end of `optimize`."""
        with self._lock:
            self._flush()

    # Studies

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study; without a name it gets a unique one."""
        name = f"{DEFAULT_STUDY_NAME_PREFIX}{uuid4()}" if study_name is None else study_name
        with self._writing() as connection:
            if frozen_studies.find_study(connection, name) is not None:
                raise DuplicatedStudyError(f"There is a study named '{name}' already.")
            return trial_rows.insert_study(connection, name, [d.name for d in directions])

    def delete_study(self, study_id: int) -> None:
        """Delete a study with all its trials."""
        with self._lock:
            with self._writing() as connection:
                if not trial_rows.delete_study(connection, study_id):
                    raise frozen_studies.no_study(study_id)
            self._caches.pop(study_id, None)
            for own in [own for own in self._own.values() if own.study_id == study_id]:
                self._own.lose(own.id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set a user attribute."""
        self._set_study_attr(study_user_attributes, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of Optuna's own."""
        self._set_study_attr(study_system_attributes, study_id, key, value)

    def _set_study_attr(self, table: Table, study_id: int, key: str, value: Any) -> None:
        with self._writing() as connection:
            frozen_studies.read_name(connection, study_id)
            trial_rows.set_attributes(connection, table, study_id, {key: value})

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the study with a name."""
        with self._reading() as connection:
            study_id = frozen_studies.find_study(connection, study_name)
        if study_id is None:
            raise KeyError(f"There is no study named '{study_name}'.")
        return study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study."""
        with self._reading() as connection:
            return frozen_studies.read_name(connection, study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of a study."""
        with self._reading() as connection:
            return frozen_studies.read_directions(connection, study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the user attributes of a study."""
        with self._reading() as connection:
            return frozen_studies.read_attrs(connection, study_user_attributes, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes that Optuna keeps of a study."""
        with self._reading() as connection:
            return frozen_studies.read_attrs(connection, study_system_attributes, study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies, sorted by their ids."""
        with self._reading() as connection:
            return frozen_studies.read_all(connection)

    # Trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Add a trial: a running one of this process, or a copy of a template."""
        with self._lock:
            with self._writing() as connection:
                if template_trial is None:
                    own = self._known(connection, *frozen_trials.append_new(connection, study_id))
                else:
                    trial_id = frozen_trials.append_copy(connection, study_id, template_trial)
                    own = self._known(connection, *frozen_trials.read_trial(connection, trial_id))
            if own.state == TrialState.RUNNING:
                self._own.take(own)
            return own.id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter of a trial."""

        def set_param(trial: OwnTrial) -> None:
            self._check_distribution(trial, param_name, distribution)
            trial.set_param(param_name, param_value_internal, distribution)

        self._change(trial_id, set_param)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set what a trial reported at a step."""
        self._change(trial_id, OwnTrial.set_value, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        self._change(trial_id, OwnTrial.set_user_attr, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of Optuna's own."""
        self._change(trial_id, OwnTrial.set_system_attr, key, value)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Start, requeue or finish a trial, with everything about it that was held back.

        Returns:
            False if the trial was to be started and runs already.
        """
        with self._lock:
            now = datetime.now(UTC)
            if state == TrialState.RUNNING:
                return self._start(trial_id, now)
            with self._writing() as connection:
                own = self._own.confirmed(connection, trial_id)
                self._own.check(trial_id)
                if state == TrialState.WAITING:
                    changed = trial_rows.requeue_trial(connection, trial_id)
                else:
                    if own is None:  # Optuna may finish a trial that nobody started.
                        trial_rows.start_trial(connection, trial_id, now)
                    finished = cast(trial_rows.FinishedState, state.name)
                    changed = trial_rows.finish_trial(connection, trial_id, finished, values, now)
                if not changed:
                    raise already_finished(frozen_trials.read_trial(connection, trial_id)[1].number)
                if own is not None:
                    own.write(connection)
            if state == TrialState.WAITING:
                self._own.pop(trial_id, None)
            elif own is not None:
                own.written()
                own.finish(state, values, frozen_trials.local_time(now))
            return True

    def _start(self, trial_id: int, now: datetime) -> bool:
        with self._writing() as connection:
            started = trial_rows.start_trial(connection, trial_id, now)
            trial = self._known(connection, *frozen_trials.read_trial(connection, trial_id))
        if trial.state.is_finished():
            raise already_finished(trial.number)
        if started:
            self._own.take(trial)
        return started

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        with self._lock:
            own = self._own.get(trial_id)
            if own is not None and not own.is_finished:
                return own.snapshot()
            with self._reading() as connection:
                own = self._own.confirmed(connection, trial_id)
                if own is not None:
                    return own.snapshot()
                return frozen_trials.read_trial(connection, trial_id)[1]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials of a study, sorted by their ids."""
        with self._lock, self._reading() as connection:
            found = self._caches.refreshed(connection, study_id).select(connection, states)
        return copy.deepcopy(found) if deepcopy else found

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return the completed trial with the best value."""
        with self._reading() as connection:
            cache = self._caches.refreshed(connection, study_id)
            if len(cache.directions) > 1:
                raise RuntimeError("A study with several objectives has no single best trial.")
            if cache.best is None:
                raise ValueError("No trials are completed yet.")
            return cache.best

    # What the above is made of

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, self._connections.writing() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lock, self._connections.reading() as connection:
            yield connection

    def _change(self, trial_id: int, change: Callable[..., None], *args: Any) -> None:
        """Change a trial: an own one now and in the database later, another's at once there."""
        with self._lock:
            own = self._own.get(trial_id)
            if own is None or own.is_finished:
                self._own.check(trial_id)
                with self._writing() as connection:
                    other = self._known(connection, *frozen_trials.read_trial(connection, trial_id))
                    if other.state.is_finished():
                        raise already_finished(other.number)
                    change(other, *args)
                    other.write(connection)
                return
            change(own, *args)
            if own.unwritten > FLUSH_AT_CHANGES:
                self._flush()
            elif self._timer is None:
                self._flush_later()

    def _flush(self) -> None:
        self._own.flush(self._connections)
        if self._timer is not None:
            self._timer.cancel()  # it would keep this storage alive
            self._timer = None

    def _flush_later(self) -> None:
        # A timer, not a look at the clock in the next write: a trial whose next epoch takes an
        # hour has no next write, and its parameters are what other samplers wait for.
        self._timer = threading.Timer(FLUSH_AFTER_S, self._on_timer)
        self._timer.daemon = True
        self._timer.start()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
            try:
                self._flush()
            except DatabaseError as error:
                _log.warning("%s Trying again in %g s.", error, FLUSH_AFTER_S)
                self._flush_later()

    def _known(self, connection: Connection, row: TrialRow, trial: FrozenTrial) -> OwnTrial:
        """Make a trial ready for changes: what is remembered of its study is not a former one's."""
        self._caches.current(connection, row.study_id).know(row)
        return OwnTrial(row, trial)

    def _check_distribution(
        self, trial: OwnTrial, name: str, distribution: BaseDistribution
    ) -> None:
        """Refuse a distribution that contradicts the study's first one of that name."""
        cache = self._caches.get(trial.study_id)
        first = None if cache is None else cache.distributions.get(name)
        if first is None:
            with self._reading() as connection:
                cache = self._caches.current(connection, trial.study_id)
                self._own.check(trial.id)
                first = frozen_trials.read_distribution(connection, trial.study_id, name)
                first = cache.distributions[name] = first or distribution
        check_distribution_compatibility(first, distribution)
