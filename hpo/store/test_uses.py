"""The uses of the test set: begun before anything is seen, finished result by result.

A row is never deleted and a recorded result never changed, so that nobody can look twice and say
that it was once. Two processes may work on the same use: whose result of a seed comes first
counts, and since both have the seed it is the same one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from hpo.store.studies import study_stages
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
    number = max((use.number for use in study_uses(connection, study)), default=0) + 1
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
    return _find(connection, study, number)


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
    use = _find(connection, study, number)
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
    return _find(connection, study, number)


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


def wrong_with_uses(connection: Connection, study: Study) -> Iterator[str]:
    """Yield what cannot be in the uses of a study's test set, a sentence each."""
    rows = connection.execute(
        select(test_uses).where(test_uses.c.study_id == study.id).order_by(test_uses.c.number)
    ).all()
    numbers = [row.number for row in rows]
    if numbers != list(range(1, len(rows) + 1)):
        yield f"the uses of its test set are numbered {', '.join(map(str, numbers))}"
    known = {stage.id: stage for stage in study_stages(connection, study)}
    for row in rows:
        where, stage = f"use {row.number} of its test set", known.get(row.stage_id)
        if stage is None or row.slot not in range(stage.budget):
            yield f"{where} tested a trial that it does not have"
        elif not stage.space.contains(row.params):
            yield f"{where} tested parameters that are not of its space: {row.params}"
        if not isinstance(row.results, list) or not all(map(_is_result, row.results)):
            yield f"{where} has results that are none"
        elif len(row.results) != len(row.seeds):
            yield f"{where} has {len(row.results)} results for {len(row.seeds)} seeds"
        elif (row.finished_at is not None) != all(row.results):
            marked = "interrupted" if row.finished_at is None else "finished"
            yield f"{where} is marked as {marked} with {row.results.count(None)} missing results"


def _is_result(stored: Any) -> bool:
    if stored is None:
        return True
    if not isinstance(stored, dict) or stored.keys() != {"seconds", "metrics", "diverged"}:
        return False
    return (stored["metrics"] is None) != (stored["diverged"] is None)


def _find(connection: Connection, study: Study, number: int) -> Use:
    return next(use for use in study_uses(connection, study) if use.number == number)


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
