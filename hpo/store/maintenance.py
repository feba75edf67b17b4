"""The database as a file: its state, upgrade, backup and check."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select, text

from hpo.errors import DatabaseError
from hpo.store import migrations, optuna_tables, trial_rows
from hpo.store.engine import database_path, open_engine, reading
from hpo.store.optuna_tables import trials
from hpo.store.studies import STAGE_ATTR, all_studies, study_stages
from hpo.store.tables import slots
from hpo.study import Stage


def status(url: str) -> dict[str, Any]:
    """Return what a database is, without judging it.

    Raises:
        DatabaseError: It cannot be read at all.
    """
    engine = open_engine(url, "read")
    path = database_path(url)
    with reading(engine) as connection:
        current = migrations.revision(connection)
        found: dict[str, Any] = {
            "file": str(path),
            "size_bytes": path.stat().st_size,
            "revision": current or "none: no tables of hpo",
            "newest_revision": migrations.HEAD,
            "optuna_schema": optuna_tables.HEAD if _has_optuna(connection) else "none",
        }
        if current == migrations.HEAD:
            found["studies"] = len(all_studies(connection))
            found["trials"] = connection.scalar(
                select(func.count()).select_from(slots).where(slots.c.attempt > 0)
            )
    return found


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the tables to the newest revision.

    Returns:
        The revision before and after.

    Raises:
        DatabaseError: It is not a database of hpo, or a newer one.
    """
    engine = open_engine(url, "write")
    with reading(engine) as connection:
        before = migrations.revision(connection)
        if before is None and not _has_optuna(connection):
            raise DatabaseError(
                f"{database_path(url)} is not a database of hpo or Optuna. Nothing was changed."
            )
    migrations.upgrade(engine)
    return before, migrations.HEAD


def backup(url: str, target: Path | None) -> Path:
    """Copy a database, also while others write to it.

    Args:
        url: The database.
        target: The new file; default beside the database, with the time in its name.

    Returns:
        The new file.

    Raises:
        DatabaseError: The target exists, or the copy cannot be made.
    """
    source = database_path(url)
    engine = open_engine(url, "read")
    now = datetime.now(UTC)
    target = target or source.with_name(f"{source.stem}-{now:%Y%m%d-%H%M%S}.db")
    if target.exists():
        raise DatabaseError(f"{target} exists already. Name another file.")
    if not target.parent.is_dir():
        raise DatabaseError(f"There is no folder {target.parent}.")
    with reading(engine) as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        try:
            copy = sqlite3.connect(target)
        except sqlite3.Error as error:
            raise DatabaseError(f"{target} cannot be made: {error}") from None
        try:
            raw.backup(copy)  # https://www.sqlite.org/backup.html: safe beside writers
        except BaseException:
            target.unlink(missing_ok=True)  # half a copy would be taken for a whole one
            raise
        finally:
            copy.close()
    return target


def check(url: str) -> list[str]:
    """Return what is wrong with a database, a sentence each; nothing for a sound one.

    Raises:
        DatabaseError: It cannot be read at all.
    """
    engine = open_engine(url, "read")
    migrations.check(engine)
    with reading(engine) as connection:
        findings = [
            f"SQLite: {row[0]}"
            for row in connection.execute(text("PRAGMA integrity_check"))
            if row[0] != "ok"
        ]
        for study in all_studies(connection):
            for stage in study_stages(connection, study):
                where = f"study {study.id}, stage {stage.number}"
                findings += [f"{where}: {found}" for found in _check_stage(connection, stage)]
    return findings


def _check_stage(connection: Connection, stage: Stage) -> list[str]:
    """Compare the slots of a stage with its Optuna trials."""
    findings = []
    ledger = {
        row.slot: row
        for row in connection.execute(select(slots).where(slots.c.stage_id == stage.id))
    }
    if sorted(ledger) != list(range(stage.budget)):
        findings.append(f"has {len(ledger)} slots for a budget of {stage.budget} trials")
    study_id = trial_rows.find_study_by_user_attr(connection, STAGE_ATTR, stage.uuid)
    if study_id is None:
        return [*findings, f"its Optuna study {stage.optuna_study} is gone"]
    rows = connection.execute(
        select(trials.c.number, trials.c.state).where(trials.c.study_id == study_id)
    ).all()
    numbers = [row.number for row in rows]
    if len(set(numbers)) != len(numbers):
        findings.append("has two trials of the same number")
    states = {row.number: row.state for row in rows}
    expected = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    for number, state in states.items():
        if number not in ledger or ledger[number].attempt == 0:
            findings.append(f"trial {number} belongs to no slot")
        elif expected.get(ledger[number].state, "RUNNING") != state:
            findings.append(f"trial {number} is {state}, its slot {ledger[number].state}")
    findings += [
        f"slot {slot} is {row.state} and has no trial"
        for slot, row in ledger.items()
        if row.attempt > 0 and slot not in states
    ]
    uncounted = sum(row.state in ("open", "running") for row in ledger.values())
    if stage.open != (uncounted > 0):
        findings.append(
            f"is marked as {'open' if stage.open else 'finished'} with {uncounted} uncounted slots"
        )
    return findings


def _has_optuna(connection: Connection) -> bool:
    try:
        optuna_tables.check_head(connection)
    except DatabaseError:
        return False
    return True
