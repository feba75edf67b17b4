"""The statements on Optuna's tables that the slot ledger and the Optuna storage share.

Each function works on an open connection; the transaction belongs to the caller, because what
must happen together (a slot and its trial, a result and its fence) is the caller's knowledge.
Rows are written only as Optuna itself could have written them. Optuna is not imported: states are
their names, distributions the JSON text of `optuna.distributions.distribution_to_json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import Connection, Table, delete, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert

from hpo.store.optuna_tables import (
    METADATA,
    studies,
    study_directions,
    study_user_attributes,
    trial_intermediate_values,
    trial_params,
    trial_system_attributes,
    trial_user_attributes,
    trial_values,
    trials,
)

FinishedState = Literal["COMPLETE", "PRUNED", "FAIL"]
State = Literal["RUNNING", "WAITING"] | FinishedState

ParamRow = tuple[str, float, str]
"""Name, value in Optuna's internal representation, distribution as JSON text."""


# What runs for each trial goes to the driver as it is: SQLAlchemy's parameters and results would
# cost several times the statement itself. Everything else is SQLAlchemy Core.
_APPEND = """
    INSERT INTO trials (study_id, number, state, datetime_start, datetime_complete)
    SELECT
        study_id,
        coalesce(
            (SELECT number + 1 FROM trials WHERE study_id = ? ORDER BY trial_id DESC LIMIT 1), 0
        ),
        ?, ?, ?
    FROM studies WHERE study_id = ?
    RETURNING trial_id, number
"""
_START = """
    UPDATE trials SET state = 'RUNNING', datetime_start = ?
    WHERE trial_id = ? AND state = 'WAITING'
"""
_FINISH = """
    UPDATE trials SET state = ?, datetime_complete = ?
    WHERE trial_id = ? AND state = 'RUNNING'
"""


def insert_study(
    connection: Connection,
    name: str,
    directions: Sequence[str],
    user_attrs: Mapping[str, object] | None = None,
) -> int:
    """Insert a study.

    Args:
        connection: In a write transaction.
        name: A name that no study has.
        directions: "MINIMIZE" or "MAXIMIZE" for each objective.
        user_attrs: JSON values by key.

    Returns:
        Its id. SQLite uses the id of a deleted study again.
    """
    study_id: int = connection.execute(
        insert(studies).values(study_name=name).returning(studies.c.study_id)
    ).scalar_one()
    connection.execute(
        insert(study_directions),
        [
            {"study_id": study_id, "objective": objective, "direction": direction}
            for objective, direction in enumerate(directions)
        ],
    )
    set_attributes(connection, study_user_attributes, study_id, user_attrs or {})
    return study_id


def delete_study(connection: Connection, study_id: int) -> bool:
    """Delete a study and every row that belongs to it.

    Spelled out, because Optuna's foreign keys have no ON DELETE CASCADE.

    Returns:
        Whether there was such a study.
    """
    trial_ids = select(trials.c.trial_id).where(trials.c.study_id == study_id)
    deleted = 0
    for table in reversed(METADATA.sorted_tables):
        if "study_id" in table.columns:
            deleted = connection.execute(delete(table).where(table.c.study_id == study_id)).rowcount
        elif "trial_id" in table.columns:
            connection.execute(delete(table).where(table.c.trial_id.in_(trial_ids)))
    return deleted == 1  # of the last table, `studies`


def find_study_by_user_attr(connection: Connection, key: str, value: object) -> int | None:
    """Return the id of the study that carries a user attribute, such as our UUID.

    While the dashboard renames a study there are two: its copy gets the attributes last, so it is
    whole, and the old one is deleted next.
    """
    attributes = study_user_attributes.c
    found: int | None = connection.scalar(
        select(attributes.study_id)
        .where(attributes.key == key, attributes.value_json == encoded(value))
        .order_by(attributes.study_id.desc())
        .limit(1)
    )
    return found


def append_trial(
    connection: Connection,
    study_id: int,
    *,
    state: State = "RUNNING",
    started: datetime | None,
    completed: datetime | None = None,
) -> tuple[int, int] | None:
    """Insert a trial without parameters, with the study's next number.

    That is the last row's number plus one: counting the rows, as Optuna does, slows down with
    each trial.

    Args:
        connection: In a write transaction.
        study_id: Its study.
        state: Optuna's name of the state.
        started: When it began; None for one that waits.
        completed: When it ended, for one that is finished already.

    Returns:
        Its id and its number, or None without such a study. SQLite uses the ids of deleted trials
        again.
    """
    values = (study_id, state, _utc(started), _utc(completed), study_id)
    row: tuple[int, int] | None = _driver(connection).execute(_APPEND, values).fetchone()
    return row


def insert_params(connection: Connection, trial_id: int, rows: Iterable[ParamRow]) -> None:
    """Insert parameters; one that the trial already has keeps its value."""
    _insert_rows(connection, trial_params, [(trial_id, *row) for row in rows])


def insert_intermediate_values(
    connection: Connection, trial_id: int, values: Mapping[int, float]
) -> None:
    """Insert or replace the reported values of some steps; they may be NaN or infinite."""
    rows = [(trial_id, step, *_stored(value)) for step, value in values.items()]
    _insert_rows(connection, trial_intermediate_values, rows)


def delete_intermediate_values(connection: Connection, trial_id: int) -> None:
    """Delete what a lost attempt reported, before the trial runs again."""
    connection.execute(
        delete(trial_intermediate_values).where(trial_intermediate_values.c.trial_id == trial_id)
    )


def set_user_attrs(connection: Connection, trial_id: int, attrs: Mapping[str, object]) -> None:
    """Insert or replace user attributes of a trial; the values are encoded as JSON."""
    set_attributes(connection, trial_user_attributes, trial_id, attrs)


def set_system_attrs(connection: Connection, trial_id: int, attrs: Mapping[str, object]) -> None:
    """Insert or replace system attributes of a trial; the values are encoded as JSON."""
    set_attributes(connection, trial_system_attributes, trial_id, attrs)


def set_attributes(
    connection: Connection, table: Table, owner_id: int, attrs: Mapping[str, object]
) -> None:
    """Insert or replace attributes.

    Args:
        connection: In a write transaction.
        table: One of the four attribute tables.
        owner_id: The study's or trial's id.
        attrs: JSON values by key.
    """
    rows = [(owner_id, key, encoded(value)) for key, value in attrs.items()]
    _insert_rows(connection, table, rows)


def encoded(value: object) -> str:
    """Return the value of an attribute as Optuna stores it."""
    return json.dumps(value)


def start_trial(connection: Connection, trial_id: int, started: datetime) -> bool:
    """Turn a waiting trial into a running one.

    One conditional UPDATE: Optuna's read-then-write hands the same queued trial to several
    processes on SQLite (https://github.com/optuna/optuna/issues/4002).

    Returns:
        Whether this caller got it.
    """
    return bool(_driver(connection).execute(_START, (_utc(started), trial_id)).rowcount == 1)


def requeue_trial(connection: Connection, trial_id: int) -> bool:
    """Turn a trial that is not finished into a waiting one.

    Returns:
        Whether there was such a trial.
    """
    result = connection.execute(
        update(trials)
        .where(trials.c.trial_id == trial_id, trials.c.state.in_(["RUNNING", "WAITING"]))
        .values(state="WAITING")
    )
    return result.rowcount == 1


def finish_trial(
    connection: Connection,
    trial_id: int,
    state: FinishedState,
    values: float | Sequence[float] | None,
    completed: datetime,
) -> bool:
    """Finish a trial, if it still runs: the fence against a writer that comes late.

    Args:
        connection: In a write transaction.
        trial_id: The trial.
        state: How it ended.
        values: The objective's value or values; they may be infinite.
        completed: When it ended.

    Returns:
        Whether it was running, and so was finished by this call.

    Raises:
        ValueError: A value is NaN, which Optuna has no way to store.
    """
    changed = _driver(connection).execute(_FINISH, (state, _utc(completed), trial_id)).rowcount
    if changed == 0:
        return False
    set_values(connection, trial_id, values)
    return True


def set_values(
    connection: Connection, trial_id: int, values: float | Sequence[float] | None
) -> None:
    """Insert or replace the objective values of a trial.

    Raises:
        ValueError: A value is NaN.
    """
    if values is None:
        return
    rows = []
    for objective, value in enumerate(values if isinstance(values, Sequence) else [values]):
        if math.isnan(value):
            raise ValueError(f"Objective {objective} is NaN, which cannot be stored as a value.")
        rows.append((trial_id, objective, *_stored(value)))
    _insert_rows(connection, trial_values, rows)


def _utc(moment: datetime | None) -> str | None:
    """Return a moment as Optuna 5 stores it: in UTC, without a time zone.

    A moment without a time zone is local time, as in Optuna's `FrozenTrial`.
    """
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _stored(value: float) -> tuple[float | None, str]:
    """Return a value as Optuna stores it: what SQL has no number for is told by its type."""
    if math.isfinite(value):
        return float(value), "FINITE"
    if math.isnan(value):
        return None, "NAN"
    return None, "INF_POS" if value > 0 else "INF_NEG"


def _insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
    if rows:
        _driver(connection).executemany(_insert_sql(table), rows)


def _driver(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


@cache
def _insert_sql(table: Table) -> str:
    """Return the INSERT of rows (owner's id, key, values...) into one of Optuna's detail tables.

    A row with the same owner and key is replaced; but as in Optuna, the first value of a
    parameter stays.
    """
    columns = [column.name for column in table.columns if not column.primary_key]
    owner, key, *values = columns
    statement = insert(table)
    if table is trial_params:
        statement = statement.on_conflict_do_nothing(index_elements=[owner, key])
    else:
        statement = statement.on_conflict_do_update(
            index_elements=[owner, key], set_={name: statement.excluded[name] for name in values}
        )
    return str(statement.compile(dialect=sqlite.dialect(), column_keys=columns))
