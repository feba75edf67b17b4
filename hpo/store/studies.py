"""Studies and stages: made, found and read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from hpo import note
from hpo.definition import Definition, stored_definition
from hpo.errors import NotFoundError, StateError
from hpo.objective import Description
from hpo.origin import Origin
from hpo.space import Space
from hpo.space_parsing import parse_space
from hpo.store import notes, trial_rows
from hpo.store.optuna_tables import studies as optuna_studies
from hpo.store.optuna_tables import study_system_attributes, study_user_attributes, trials
from hpo.store.tables import slots, stages, studies
from hpo.study import Stage, Study

STAGE_ATTR = "hpo_stage"
"""User attribute of an Optuna study that holds its stage's UUID."""


def create_study(
    connection: Connection,
    definition: Definition,
    name: str,
    description: Description | None,
    environment: Mapping[str, Any],
) -> Study:
    """Insert a study under a name that no other has."""
    study_id = connection.execute(
        studies.insert().values(
            uuid=str(uuid.uuid4()),
            name=name,
            definition=definition.to_json(),
            definition_hash=definition.hash,
            seed=definition.search.seed,
            description=description,
            environment={
                **environment,
                "folder": definition.folder,
                "origin": definition.origin and asdict(definition.origin),
            },
            created_at=datetime.now(UTC),
        )
    ).inserted_primary_key
    assert study_id is not None
    return _study(connection.execute(select(studies).where(studies.c.id == study_id[0])).one())


def free_name(connection: Connection, wanted: str) -> str:
    """Return a name that no study has: the wanted one, else with -2, -3, … at its end."""
    taken = set(connection.scalars(select(studies.c.name)))
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name


def find_study(connection: Connection, id_or_name: str | int) -> Study:
    """Return a study by its id or its name.

    Raises:
        NotFoundError: There is none; says which there are.
    """
    wanted = str(id_or_name)
    is_id = wanted.isascii() and wanted.isdigit() and len(wanted) < 19  # SQLite's 64 bits
    column = studies.c.id == int(wanted) if is_id else studies.c.name == wanted
    row = connection.execute(select(studies).where(column)).first()
    if row is None:
        there = [f"{study.id} {study.name}" for study in all_studies(connection)]
        known = f"There are: {', '.join(there[:20])}." if there else "There are none yet: hpo start"
        raise NotFoundError(f"no study {wanted} in {connection.engine.url.database}. {known}")
    return _study(row)


def all_studies(connection: Connection) -> list[Study]:
    """Return all studies in the order of their start."""
    return [_study(row) for row in connection.execute(select(studies).order_by(studies.c.id))]


def create_stage(
    connection: Connection,
    study: Study,
    *,
    parent: Stage | None,
    kind: str,
    space: Space,
    evidence: Mapping[str, Any] | None,
    sampler: str,
    budget: int,
    seeds: int,
) -> Stage:
    """Insert a stage with its slots, and the Optuna study that will hold its trials.

    Its number is the next of the study; the Optuna study is called `<study>/<number>`, and has a
    note on why the stage was made.
    """
    last = connection.scalar(select(func.max(stages.c.number)).where(stages.c.study_id == study.id))
    number = (last or 0) + 1
    identity, optuna_name = str(uuid.uuid4()), f"{study.name}/{number}"
    taken = select(optuna_studies.c.study_id).where(optuna_studies.c.study_name == optuna_name)
    if connection.scalar(taken) is not None:
        raise StateError(
            f"There is an Optuna study called {optuna_name} in this database already. "
            "Start under another name: hpo start --name NAME"
        )
    optuna_id = trial_rows.insert_study(
        connection, optuna_name, [study.definition.direction.upper()], {STAGE_ATTR: identity}
    )
    # As `optuna.Study.set_metric_names` does: Optuna's plots then name the metric.
    names = {"study:metric_names": [study.definition.metric]}
    trial_rows.set_attributes(connection, study_system_attributes, optuna_id, names)
    key = connection.execute(
        stages.insert().values(
            uuid=identity,
            study_id=study.id,
            number=number,
            parent_id=parent.id if parent else None,
            optuna_study=optuna_name,
            kind=kind,
            space=space.to_json(),
            evidence=evidence,
            sampler=sampler,
            budget=budget,
            seeds=seeds,
            created_at=datetime.now(UTC),
        )
    ).inserted_primary_key
    assert key is not None
    _add_slots(connection, key[0], range(budget))
    stage = find_stage(connection, study, number)
    notes.write(connection, optuna_id, note.text(study, stage, parent))
    return stage


def raise_budget(connection: Connection, study: Study, stage: Stage, budget: int) -> Stage:
    """Add slots to a stage, which is then open again.

    Raises:
        StateError: The stage has that many already.
    """
    if budget < stage.budget:
        raise StateError(
            f"stage {stage.number} has a budget of {stage.budget} trials, which can only grow"
        )
    study_id = optuna_study_of(connection, stage)
    theirs = select(func.count()).where(trials.c.study_id == study_id)
    if budget > stage.budget and (connection.scalar(theirs) or 0) > stage.budget:
        raise StateError(
            f"The Optuna study {stage.optuna_study} has trials that hpo did not make, behind the "
            f"{stage.budget} of stage {stage.number}: it cannot grow. Go on with: "
            f"hpo narrow {study.id}"
        )
    _add_slots(connection, stage.id, range(stage.budget, budget))
    changes: dict[str, Any] = {"budget": budget}
    if budget > stage.budget:
        changes["finished_at"] = None
    connection.execute(update(stages).where(stages.c.id == stage.id).values(**changes))
    return find_stage(connection, study, stage.number)


def close_if_counted(connection: Connection, stage: Stage) -> None:
    """Mark a stage as finished, if none of its slots is open or running."""
    left = connection.scalar(
        select(slots.c.id)
        .where(slots.c.stage_id == stage.id, slots.c.state.in_(["open", "running"]))
        .limit(1)
    )
    if left is None:
        connection.execute(
            update(stages)
            .where(stages.c.id == stage.id, stages.c.finished_at.is_(None))
            .values(finished_at=datetime.now(UTC))
        )


def optuna_study_of(connection: Connection, stage: Stage) -> int | None:
    """Return the id of the Optuna study of a stage; None if it was deleted.

    Asked at every write: the dashboard's "rename" copies a study to another id, and SQLite gives
    the id of a deleted study to the next.
    """
    return trial_rows.find_study_by_user_attr(connection, STAGE_ATTR, stage.uuid)


def refuse_deleted(stages_: Iterable[Stage]) -> None:
    """Make sure that stages still have their trials.

    Raises:
        StateError: The Optuna study of one was deleted.
    """
    for stage in stages_:
        if stage.deleted:
            raise StateError(
                f"The Optuna study {stage.optuna_study} of stage {stage.number} was deleted, and "
                "with it parameters and scores. Start a new study: hpo start DEFINITION"
            )


def study_stages(connection: Connection, study: Study) -> list[Stage]:
    """Return the stages of a study by number."""
    parents = stages.alias("parents")
    rows = connection.execute(
        select(stages, parents.c.number.label("parent"))
        .outerjoin(parents, stages.c.parent_id == parents.c.id)
        .where(stages.c.study_id == study.id)
        .order_by(stages.c.number)
    )
    marks = select(study_user_attributes.c.value_json).where(
        study_user_attributes.c.key == STAGE_ATTR
    )
    alive = set(connection.scalars(marks))
    return [_stage(row, trial_rows.encoded(row.uuid) not in alive) for row in rows]


def find_stage(connection: Connection, study: Study, number: int) -> Stage:
    """Return one stage of a study.

    Raises:
        NotFoundError: There is none of this number.
    """
    found = study_stages(connection, study)
    for stage in found:
        if stage.number == number:
            return stage
    raise NotFoundError(
        f"study {study.id} has no stage {number}. It has: "
        + ", ".join(str(stage.number) for stage in found)
    )


def lineage(all_stages: Sequence[Stage], stage: Stage) -> list[Stage]:
    """Return the ancestors of a stage, nearest first."""
    by_number = {each.number: each for each in all_stages}
    ancestors: list[Stage] = []
    parent = stage.parent
    while parent is not None:
        ancestors.append(by_number[parent])
        parent = by_number[parent].parent
    return ancestors


def _add_slots(connection: Connection, stage_id: int, numbers: range) -> None:
    if numbers:
        connection.execute(
            slots.insert(),
            [{"stage_id": stage_id, "slot": i, "state": "open", "attempt": 0} for i in numbers],
        )


def _study(row: Row[Any]) -> Study:
    began = row.environment
    origin = began.get("origin")  # which studies of before 0.4.0 do not have
    definition = replace(
        stored_definition(row.definition),
        folder=began["folder"],
        origin=None if origin is None else Origin(**origin),
    )
    return Study(
        id=row.id,
        uuid=row.uuid,
        name=row.name,
        definition=definition,
        description=row.description,
        environment=began,
        created_at=row.created_at,
    )


def _stage(row: Row[Any], deleted: bool) -> Stage:
    return Stage(
        id=row.id,
        uuid=row.uuid,
        number=row.number,
        parent=row.parent,
        optuna_study=row.optuna_study,
        kind=row.kind,
        space=parse_space(row.space),
        evidence=row.evidence,
        sampler=row.sampler,
        budget=row.budget,
        seeds=row.seeds,
        created_at=row.created_at,
        finished_at=row.finished_at,
        deleted=deleted,
    )
