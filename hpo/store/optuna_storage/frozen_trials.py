"""Rows of Optuna's tables <-> Optuna's `FrozenTrial`."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Select, Table, bindparam, select

from hpo.store import trial_rows
from hpo.store.optuna_storage.frozen_studies import no_study
from hpo.store.optuna_tables import (
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
    trial_values,
    trials,
)

T = TypeVar("T")

_CHUNK = 500  # SQLite allows 999 to 32,766 variables in a statement, by its version.
_NOT_FINITE = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}


class TrialRow(NamedTuple):
    """A row of `trials`, as it is stored: a moment is made of its text only where one looks."""

    study_id: int
    trial_id: int
    number: int
    state: str
    datetime_start: str | None
    datetime_complete: str | None

    @property
    def identity(self) -> tuple[int, int, int, str | None]:
        """What no other started trial has, though SQLite uses the ids of deleted ones again."""
        return self.study_id, self.trial_id, self.number, self.datetime_start


_TRIALS = f"SELECT {', '.join(TrialRow._fields)} FROM trials"

# A study has few distributions and many trials; decoding one costs more than reading its row.
_distribution = lru_cache(maxsize=1024)(json_to_distribution)


def _of_trials(table: Table, *columns: str) -> Select[Any]:
    return (
        select(table.c.trial_id, *(table.c[name] for name in columns))
        .where(table.c.trial_id.in_(bindparam("ids", expanding=True)))
        .order_by(*table.primary_key)
    )


_PARAMS = _of_trials(trial_params, "param_name", "param_value", "distribution_json")
_VALUES = _of_trials(trial_values, "objective", "value", "value_type")
_INTERMEDIATE = _of_trials(
    trial_intermediate_values, "step", "intermediate_value", "intermediate_value_type"
)
_USER_ATTRS = _of_trials(trial_user_attributes, "key", "value_json")
_SYSTEM_ATTRS = _of_trials(trial_system_attributes, "key", "value_json")


def read_rows(connection: Connection, trial_ids: Sequence[int]) -> Iterator[TrialRow]:
    """Read the rows of some trials; one that does not exist is left out."""
    for ids in _chunks(trial_ids):
        places = ", ".join("?" * len(ids))
        yield from _rows(connection, f"{_TRIALS} WHERE trial_id IN ({places})", ids)


def read_rows_from(connection: Connection, study_id: int, first: int) -> list[TrialRow]:
    """Read the rows of a study's trials from an id on, in the order of their ids."""
    sql = f"{_TRIALS} WHERE study_id = ? AND trial_id >= ? ORDER BY trial_id"
    return list(_rows(connection, sql, (study_id, first)))


def _rows(connection: Connection, sql: str, values: Sequence[int]) -> Iterator[TrialRow]:
    # By the driver itself: this is asked before each trial, and SQLAlchemy's result costs seven
    # times as much.
    driver: Any = connection.connection.dbapi_connection
    return map(TrialRow._make, driver.execute(sql, values))


def read_trials(connection: Connection, rows: Sequence[TrialRow]) -> Iterator[FrozenTrial]:
    """Read everything that belongs to trials whose own rows were read in the same transaction.

    Args:
        connection: In a transaction.
        rows: Their rows.

    Returns:
        The trials in the order of `rows`.
    """
    for some in _chunks(rows):
        yield from _read_chunk(connection, some)


def _read_chunk(connection: Connection, rows: Sequence[TrialRow]) -> Iterator[FrozenTrial]:
    ids = {"ids": [row.trial_id for row in rows]}
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    values: dict[int, dict[int, float]] = defaultdict(dict)
    intermediate: dict[int, dict[int, float]] = defaultdict(dict)
    user_attrs: dict[int, dict[str, Any]] = defaultdict(dict)
    system_attrs: dict[int, dict[str, Any]] = defaultdict(dict)

    for trial_id, name, internal, text in connection.execute(_PARAMS, ids):
        distribution = _distribution(text)
        params[trial_id][name] = distribution.to_external_repr(internal)
        distributions[trial_id][name] = distribution
    for trial_id, objective, value, kind in connection.execute(_VALUES, ids):
        values[trial_id][objective] = value if kind == "FINITE" else _NOT_FINITE[kind]
    for trial_id, step, value, kind in connection.execute(_INTERMEDIATE, ids):
        intermediate[trial_id][step] = value if kind == "FINITE" else _NOT_FINITE[kind]
    for statement, attrs in ((_USER_ATTRS, user_attrs), (_SYSTEM_ATTRS, system_attrs)):
        for trial_id, key, text in connection.execute(statement, ids):
            attrs[trial_id][key] = json.loads(text)

    for row in rows:
        trial_id = row.trial_id
        by_objective = values.get(trial_id, {})
        yield FrozenTrial(
            number=row.number,
            trial_id=trial_id,
            state=TrialState[row.state],
            value=None,
            values=[by_objective[i] for i in sorted(by_objective)] or None,
            datetime_start=_moment(row.datetime_start),
            datetime_complete=_moment(row.datetime_complete),
            params=params.get(trial_id, {}),
            distributions=distributions.get(trial_id, {}),
            user_attrs=user_attrs.get(trial_id, {}),
            system_attrs=system_attrs.get(trial_id, {}),
            intermediate_values=intermediate.get(trial_id, {}),
        )


def read_trial(connection: Connection, trial_id: int) -> tuple[TrialRow, FrozenTrial]:
    """Read one trial.

    Returns:
        Its row, and the trial.

    Raises:
        KeyError: There is no such trial.
    """
    rows = list(read_rows(connection, [trial_id]))
    if not rows:
        raise KeyError(f"There is no trial with the id {trial_id}.")
    return rows[0], next(read_trials(connection, rows))


def read_distribution(connection: Connection, study_id: int, name: str) -> BaseDistribution | None:
    """Return the distribution that a study's first parameter of a name has."""
    text = connection.scalar(
        select(trial_params.c.distribution_json)
        .join(trials)
        .where(trials.c.study_id == study_id, trial_params.c.param_name == name)
        .limit(1)
    )
    return None if text is None else _distribution(text)


def append_new(connection: Connection, study_id: int) -> tuple[TrialRow, FrozenTrial]:
    """Add to a study a running trial without parameters.

    Returns:
        Its row, and the trial.

    Raises:
        KeyError: There is no such study.
    """
    added = trial_rows.append_trial(connection, study_id, started=datetime.now(UTC))
    if added is None:
        raise no_study(study_id)
    (row,) = read_rows(connection, added[:1])
    return row, FrozenTrial(
        trial_id=row.trial_id,
        number=row.number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=_moment(row.datetime_start),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def append_copy(connection: Connection, study_id: int, trial: FrozenTrial) -> int:
    """Add to a study a trial with everything that a given one has, but its number and id.

    Returns:
        Its id.

    Raises:
        KeyError: There is no such study.
    """
    added = trial_rows.append_trial(
        connection,
        study_id,
        state=cast(trial_rows.State, trial.state.name),
        started=trial.datetime_start,
        completed=trial.datetime_complete,
    )
    if added is None:
        raise no_study(study_id)
    trial_id, _ = added
    params = [
        (
            name,
            distribution.to_internal_repr(trial.params[name]),
            distribution_to_json(distribution),
        )
        for name, distribution in trial.distributions.items()
    ]
    trial_rows.insert_params(connection, trial_id, params)
    trial_rows.insert_intermediate_values(connection, trial_id, trial.intermediate_values)
    trial_rows.set_user_attrs(connection, trial_id, trial.user_attrs)
    trial_rows.set_system_attrs(connection, trial_id, trial.system_attrs)
    trial_rows.set_values(connection, trial_id, trial.values)
    return trial_id


def local_time(moment: datetime) -> datetime:
    """Return a moment in UTC as `FrozenTrial` has it: in local time, without a time zone."""
    return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else local_time(datetime.fromisoformat(text))


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
