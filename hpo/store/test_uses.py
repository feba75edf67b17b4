"""The uses of the test set: begun before anything is seen, finished result by result.

A row is never deleted and a recorded result never changed, so that nobody can look twice and say
that it was once. Two processes may work on the same use: whose result of a seed comes first
counts, and since both have the seed it is the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from hpo.store.tables import slots, stages, test_uses
from hpo.study import Stage, Study
from hpo.use import Result, Use


def study_uses(connection: Connection, study: Study) -> list[Use]:
    """Return the uses of a study's test set, in their order."""
    rows = connection.execute(
        select(test_uses, stages.c.number.label("stage"))
        .join(stages, stages.c.id == test_uses.c.stage_id)
        .where(test_uses.c.study_id == study.id)
        .order_by(test_uses.c.number)
    )
    return [_use(row) for row in rows]


def begin_use(
    connection: Connection,
    study: Study,
    stage: Stage,
    trial: int,
    params: Mapping[str, Any],
    value: float,
    seeds: Sequence[int],
) -> Use:
    """Record that the test set is about to be used.

    Args:
        connection: A connection that holds the write lock.
        study: The study.
        stage: The stage that the setting is from.
        trial: Its trial.
        params: Its parameters.
        value: Its validation score.
        seeds: Seeds of the retraining.
    """
    number = len(study_uses(connection, study)) + 1
    connection.execute(
        test_uses.insert().values(
            study_id=study.id,
            number=number,
            stage_id=stage.id,
            slot=trial,
            params=dict(params),
            value=value,
            seeds=list(seeds),
            results=[None] * len(seeds),
            begun_at=datetime.now(UTC),
        )
    )
    return study_uses(connection, study)[-1]


def record_result(
    connection: Connection, study: Study, number: int, place: int, result: Result
) -> Use:
    """Record what came of one seed, and the end of the use with the last.

    Args:
        connection: A connection that holds the write lock.
        study: The study.
        number: Number of the use.
        place: Which of its seeds.
        result: What came of it; nothing is changed if there is a result already.
    """
    use = study_uses(connection, study)[number - 1]
    results = list(use.results)
    if results[place] is not None:
        return use
    results[place] = result
    changes: dict[str, Any] = {"results": [each and asdict(each) for each in results]}
    if all(results):
        changes["finished_at"] = datetime.now(UTC)
    connection.execute(
        update(test_uses)
        .where(test_uses.c.study_id == study.id, test_uses.c.number == number)
        .values(**changes)
    )
    return study_uses(connection, study)[number - 1]


def search_seeds(connection: Connection, study: Study) -> set[int]:
    """Return every seed that a trial of the study has had."""
    return set(
        connection.scalars(
            select(slots.c.seed)
            .distinct()
            .join(stages, stages.c.id == slots.c.stage_id)
            .where(stages.c.study_id == study.id, slots.c.seed.is_not(None))
        )
    )


def _use(row: Row[Any]) -> Use:
    return Use(
        number=row.number,
        stage=row.stage,
        trial=row.slot,
        params=row.params,
        value=row.value,
        seeds=tuple(row.seeds),
        results=tuple(each and Result(**each) for each in row.results),
        begun_at=row.begun_at,
        finished_at=row.finished_at,
    )
