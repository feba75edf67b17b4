"""Rows of Optuna's tables -> what Optuna knows of a study."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from sqlalchemy import Connection, Table, select

from hpo.store.optuna_tables import (
    studies,
    study_directions,
    study_system_attributes,
    study_user_attributes,
)


def no_study(study_id: int) -> KeyError:
    """Return the error for an id that no study has."""
    return KeyError(f"There is no study with the id {study_id}.")


def find_study(connection: Connection, name: str) -> int | None:
    """Return the id of the study with a name."""
    found: int | None = connection.scalar(
        select(studies.c.study_id).where(studies.c.study_name == name)
    )
    return found


def read_name(connection: Connection, study_id: int) -> str:
    """Return the name of a study.

    Raises:
        KeyError: There is no such study.
    """
    name: str | None = connection.scalar(
        select(studies.c.study_name).where(studies.c.study_id == study_id)
    )
    if name is None:  # An empty name is a name, for Optuna.
        raise no_study(study_id)
    return name


def read_directions(connection: Connection, study_id: int) -> list[StudyDirection]:
    """Return the directions of a study.

    Raises:
        KeyError: There is no such study.
    """
    names = connection.scalars(
        select(study_directions.c.direction)
        .where(study_directions.c.study_id == study_id)
        .order_by(study_directions.c.objective)
    ).all()
    if not names:
        raise no_study(study_id)
    return [StudyDirection[name] for name in names]


def read_attrs(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    """Return the attributes of a study that one of the two attribute tables holds.

    Raises:
        KeyError: There is no such study.
    """
    read_name(connection, study_id)
    rows = connection.execute(
        select(table.c.key, table.c.value_json).where(table.c.study_id == study_id)
    )
    return {key: json.loads(text) for key, text in rows}


def read_all(connection: Connection) -> list[FrozenStudy]:
    """Return all studies, sorted by their ids."""
    directions: dict[int, list[StudyDirection]] = defaultdict(list)
    user_attrs: dict[int, dict[str, Any]] = defaultdict(dict)
    system_attrs: dict[int, dict[str, Any]] = defaultdict(dict)
    for study_id, direction in connection.execute(
        select(study_directions.c.study_id, study_directions.c.direction).order_by(
            study_directions.c.objective
        )
    ):
        directions[study_id].append(StudyDirection[direction])
    for table, attrs in (
        (study_user_attributes, user_attrs),
        (study_system_attributes, system_attrs),
    ):
        for study_id, key, text in connection.execute(
            select(table.c.study_id, table.c.key, table.c.value_json)
        ):
            attrs[study_id][key] = json.loads(text)
    return [
        FrozenStudy(
            study_name=name,
            direction=None,
            directions=directions[study_id],
            user_attrs=user_attrs[study_id],
            system_attrs=system_attrs[study_id],
            study_id=study_id,
        )
        for study_id, name in connection.execute(
            select(studies.c.study_id, studies.c.study_name).order_by(studies.c.study_id)
        )
    ]
