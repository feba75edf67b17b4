"""The invariants of a database: what holds at every moment, whoever was killed when.

SQLite's own first, then what Optuna's tables promise, then how our slots and theirs agree. A sound
database may be in the middle of a run: a slot whose owner has died is not damage, the next
supervisor takes it.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text

from hpo.store import curve_metrics, migrations, optuna_tables, trial_rows
from hpo.store.engine import Engine, opened, reading
from hpo.store.optuna_tables import studies as optuna_studies
from hpo.store.optuna_tables import (
    study_user_attributes,
    trial_intermediate_values,
    trial_values,
    trials,
)
from hpo.store.studies import STAGE_ATTR, all_studies, optuna_study_of, study_stages
from hpo.store.tables import curves, metadata, retries, slots, stages
from hpo.store.test_uses import wrong_with_uses
from hpo.store.trials import read_params
from hpo.study import Stage

_TRIAL_STATE = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
"""Of a slot; a trial that was begun and is not counted yet is RUNNING, whoever waits for whom."""

_AT_ONCE = 1000
"""Trials whose curves are in memory at the same time."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a database.

    Args:
        sentence: What it is.
        remedy: What to do, with the command.
    """

    sentence: str
    remedy: str


class _Mended(str):
    """What is wrong with a stage, but not for long: `reconcile` sets it right."""


def check(url: str) -> list[str]:
    """Return what is wrong with a database, a sentence each; nothing for a sound one.

    Raises:
        DatabaseError: See `examine`.
    """
    return [finding.sentence for finding in examine(url)]


def examine(url: str) -> list[Finding]:
    """Return what is wrong with a database, and what to do.

    A database without studies of ours is checked as one of Optuna's.

    Raises:
        DatabaseError: It cannot be read at all, or is neither ours nor Optuna's.
    """
    with opened(url, "read") as engine:
        return _examine(engine)


def _examine(engine: Engine) -> list[Finding]:
    with reading(engine) as connection:
        ours = migrations.revision(connection) is not None or not optuna_tables.present(connection)
    if ours:
        migrations.check(engine)
    with reading(engine) as connection:
        damage = [*_of_sqlite(connection), *(unreadable := [*_of_values(connection, ours)])]
        if not unreadable:  # what follows would stumble over them
            damage += _of_optuna(connection)
        findings = [Finding(sentence, _restore("The database")) for sentence in damage]
        if ours and not unreadable:
            findings += _of_marks(connection)
            for study in all_studies(connection):
                findings += [
                    Finding(f"study {study.id}: {each}", _restore(f"Study {study.id}"))
                    for each in wrong_with_uses(connection, study)
                ]
                for stage in study_stages(connection, study):
                    found = list(_of_stage(connection, stage, study.definition.metric))
                    mended = not damage and all(isinstance(each, _Mended) for each in found)
                    mend = f"To mend study {study.id}: hpo resume {study.id}"
                    remedy = mend if mended else _restore(f"Study {study.id}")
                    where = f"study {study.id}, stage {stage.number}"
                    findings += [Finding(f"{where}: {each}", remedy) for each in found]
    return findings


def _restore(what: str) -> str:
    return f"{what} cannot be mended. Restore a copy made by: hpo db backup"


def _of_sqlite(connection: Connection) -> Iterator[str]:
    for (found,) in connection.execute(text("PRAGMA integrity_check")):
        if found != "ok":
            yield f"SQLite: {found}"
    gone = Counter((row[0], row[2]) for row in connection.execute(text("PRAGMA foreign_key_check")))
    for (table, parent), count in sorted(gone.items()):
        yield f"{count} row{'s' * (count > 1)} of {table} belong to rows of {parent} that are gone"


def _of_values(connection: Connection, ours: bool) -> Iterator[str]:
    """Read every value once: SQLite's own check does not look into them."""
    for table in (*optuna_tables.METADATA.sorted_tables, *(metadata.sorted_tables if ours else ())):
        try:
            for _ in connection.execute(select(table)):
                pass
        except (LookupError, ValueError) as error:
            yield f"{table.name} has a value that is none of its kind ({error})"


def _of_optuna(connection: Connection) -> Iterator[str]:
    names = {row.study_id: row.study_name for row in connection.execute(select(optuna_studies))}
    numbered = connection.execute(
        select(
            trials.c.study_id,
            func.count().label("rows"),
            func.count(trials.c.number.distinct()).label("numbers"),
            func.min(trials.c.number).label("first"),
            func.max(trials.c.number).label("last"),
        ).group_by(trials.c.study_id)
    )
    for row in numbered:
        where = f"Optuna study {names.get(row.study_id, row.study_id)}"
        if row.numbers != row.rows:
            yield f"{where}: has two trials of the same number"
        elif (row.first, row.last) != (0, row.rows - 1):
            yield f"{where}: its {row.rows} trials are not numbered 0 to {row.rows - 1}"
    valueless = connection.execute(
        select(trials.c.study_id, trials.c.number)
        .outerjoin(trial_values, trial_values.c.trial_id == trials.c.trial_id)
        .where(trials.c.state == "COMPLETE", trial_values.c.trial_id.is_(None))
    )
    for row in valueless:
        where = f"Optuna study {names.get(row.study_id, row.study_id)}"
        yield f"{where}: trial {row.number} is COMPLETE and has no value"


def _of_marks(connection: Connection) -> Iterator[Finding]:
    """Compare the marks that Optuna studies carry with our stages."""
    known = {trial_rows.encoded(uuid) for uuid in connection.scalars(select(stages.c.uuid))}
    marks: dict[str, list[str]] = {}
    for name, mark in connection.execute(
        select(optuna_studies.c.study_name, study_user_attributes.c.value_json)
        .join_from(optuna_studies, study_user_attributes)
        .where(study_user_attributes.c.key == STAGE_ATTR)
        .order_by(optuna_studies.c.study_id)
    ):
        marks.setdefault(mark, []).append(name)
    for mark, names in marks.items():
        if mark not in known:
            yield Finding(
                f"Optuna study {names[0]} says that it is a stage, but there is no such stage",
                _restore("The database"),
            )
        elif len(names) > 1:
            yield Finding(
                f"the Optuna studies {' and '.join(names)} are the same stage: one was copied. "
                "The last counts, delete the other",
                f"To delete {names[0]}: optuna delete-study --storage "
                f"{shlex.quote(str(connection.engine.url))} --study-name {shlex.quote(names[0])}",
            )


def _of_stage(connection: Connection, stage: Stage, metric: str) -> Iterator[str]:
    columns = [column for column in slots.c if column is not slots.c.error]  # which may be long
    ledger = {
        row.slot: row
        for row in connection.execute(
            select(*columns).where(slots.c.stage_id == stage.id).order_by(slots.c.slot)
        )
    }
    if list(ledger) != list(range(stage.budget)):
        yield f"has {len(ledger)} slots for a budget of {stage.budget} trials"
    uncounted = sum(row.state in ("open", "running") for row in ledger.values())
    if stage.open != (uncounted > 0):
        marked = "open" if stage.open else "finished"
        said = f"is marked as {marked} with {uncounted} uncounted slots"
        yield _Mended(said) if stage.open else said
    yield from _of_attempts(connection, stage, ledger)
    study_id = optuna_study_of(connection, stage)
    if study_id is None:
        yield f"its Optuna study {stage.optuna_study} is gone"
        return
    theirs = {
        row.number: row
        for row in connection.execute(
            select(trials.c.number, trials.c.trial_id, trials.c.state)
            .where(trials.c.study_id == study_id)
            .order_by(trials.c.trial_id)
        )
    }
    for number, row in theirs.items():
        slot = ledger.get(number)
        if slot is None or slot.attempt == 0:
            yield f"trial {number} belongs to no slot"
        elif row.state != (of_slot := _TRIAL_STATE.get(slot.state, "RUNNING")):
            said = f"trial {number} is {row.state}, its slot {slot.state}"
            yield _Mended(said) if "RUNNING" in (row.state, of_slot) else said
    begun = [slot for slot in ledger.values() if slot.attempt > 0]
    for first in range(0, len(begun), _AT_ONCE):
        some = begun[first : first + _AT_ONCE]
        ids = {slot.slot: theirs[slot.slot].trial_id for slot in some if slot.slot in theirs}
        yield from _of_content(connection, stage, metric, some, ids)


def _of_content(
    connection: Connection,
    stage: Stage,
    metric: str,
    begun: Sequence[Any],
    trial_ids: Mapping[int, int],
) -> Iterator[str]:
    """Compare parameters and curves of some slots with those of their trials."""
    params = read_params(connection, trial_ids.values())
    shown = _shown_values(connection, trial_ids.values())
    kept = _kept_values(connection, begun, metric)
    for slot in begun:
        number = slot.slot
        trial_id = trial_ids.get(number)
        if trial_id is None:
            yield _Mended(f"slot {number} is {slot.state} and has no trial")
            continue
        drawn = params.get(trial_id, {})
        undrawn = not drawn and _may_be_undrawn(slot)
        if not undrawn and not stage.space.contains(drawn):
            yield f"trial {number} has parameters that are not of its space: {drawn}"
        # An attempt that was given back leaves its values until the next one begins.
        if slot.state != "open" and shown.get(trial_id, {}) != kept.get(slot.id, {}):
            yield f"trial {number} shows another curve than its attempt {slot.attempt} reported"


def _may_be_undrawn(slot: Any) -> bool:
    """Return whether a slot may be without seed and parameters, although it was begun before.

    One that `reconcile` opened again may, and one that ran under revision 0001, where a kill
    between the two transactions of its claim left that; its lease is over since ever.
    """
    return bool(slot.state == "open" or (slot.state == "running" and slot.lease == 0))


def _of_attempts(connection: Connection, stage: Stage, ledger: dict[int, Any]) -> Iterator[str]:
    """Check who holds the slots, and that each attempt is accounted for."""
    for number, row in ledger.items():
        held = row.owner is not None
        if held != (row.state == "running"):
            yield f"slot {number} is {row.state} and has {'an' if held else 'no'} owner"
        if row.seed is None and not _may_be_undrawn(row):
            yield f"slot {number} is {row.state} and has no seed"
        if row.state in _TRIAL_STATE and row.seconds is None:
            yield f"slot {number} is {row.state} and has no duration"
    of_stage = slots.c.stage_id == stage.id
    uncounted: dict[int, int] = {
        number: count
        for number, count in connection.execute(
            select(slots.c.slot, func.count())
            .join_from(slots, retries)
            .where(of_stage)
            .group_by(slots.c.slot)
        )
    }
    for number, row in ledger.items():
        expected = row.attempt if row.state == "open" else max(row.attempt - 1, 0)
        if uncounted.get(number, 0) != expected:
            yield (
                f"slot {number} has {row.attempt} attempts, of which {expected} did not count; "
                f"{uncounted.get(number, 0)} are written down"
            )
    for number, attempt in connection.execute(
        select(slots.c.slot, curves.c.attempt)
        .distinct()
        .join_from(slots, curves)
        .where(of_stage, curves.c.attempt > slots.c.attempt)
    ):
        yield f"slot {number} has a curve of attempt {attempt}, which was never begun"


def _shown_values(
    connection: Connection, trial_ids: Collection[int]
) -> dict[int, dict[int, float | None]]:
    """Return the values that Optuna's tools show, by trial and step; None if not finite."""
    found: dict[int, dict[int, float | None]] = {}
    shown = trial_intermediate_values.c
    for trial_id, step, value in connection.execute(
        select(shown.trial_id, shown.step, shown.intermediate_value).where(
            shown.trial_id.in_(trial_ids)
        )
    ):
        found.setdefault(trial_id, {})[step] = value
    return found


def _kept_values(
    connection: Connection, begun: Sequence[Any], metric: str
) -> dict[int, dict[int, float | None]]:
    """Return the metric as the newest attempt of each slot reported it, likewise by slot's id."""
    found: dict[int, dict[int, float | None]] = {}
    for slot_id, step, metrics in connection.execute(
        select(curves.c.slot_id, curves.c.step, curves.c.metrics)
        .join(slots, (curves.c.slot_id == slots.c.id) & (curves.c.attempt == slots.c.attempt))
        .where(slots.c.id.in_([slot.id for slot in begun]))
    ):
        if metric in metrics:
            found.setdefault(slot_id, {})[step] = curve_metrics.finite(metrics[metric])
    return found
