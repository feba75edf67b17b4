"""`hpo db`: what a database is, its upgrade and its copy."""

from __future__ import annotations

from pathlib import Path

import databases
import optuna
import pytest
from databases import problems, sql, url_of

from hpo.errors import DatabaseError
from hpo.store import maintenance, migrations


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database with a study of five slots: four ended, the last never begun."""
    path = tmp_path / "hpo.db"
    engine = databases.new(path)
    stage = databases.started(engine, 5)
    ledger = databases.ledger_of(engine, stage)
    for _ in range(4):
        databases.run_one(ledger)
    engine.dispose()
    return path


def test_status_says_what_it_is(path: Path) -> None:
    assert maintenance.status(url_of(path)) == {
        "file": str(path),
        "size_bytes": path.stat().st_size,
        "revision": migrations.HEAD,
        "newest_revision": migrations.HEAD,
        "optuna_schema": "v3.2.0.a",
        "studies": 1,
        "trials": 4,
    }


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """Return a database that stock Optuna made."""
    path = tmp_path / "stock.db"
    optuna.storages.RDBStorage(url_of(path)).engine.dispose()
    return path


@pytest.mark.parametrize("schema", ["v2.6.0.a", "v9.0.0.a"])
def test_a_schema_of_optuna_that_is_not_ours_is_told_and_not_changed(
    schema: str, stock: Path
) -> None:
    sql(stock, "UPDATE alembic_version SET version_num = ?", schema)
    status = maintenance.status(url_of(stock))
    assert (status["revision"], status["optuna_schema"]) == ("none: no tables of hpo", schema)
    with pytest.raises(DatabaseError, match=rf"schema {schema}.*(optuna storage upgrade|Update)"):
        maintenance.upgrade(url_of(stock))
    assert sql(stock, "SELECT name FROM sqlite_master WHERE name LIKE 'hpo%'") == []


# Backup


def test_a_copy_is_a_database_to_go_on_with(path: Path, tmp_path: Path) -> None:
    copy = maintenance.backup(url_of(path), tmp_path / "copy.db")
    engine = databases.new(copy)
    stage = databases.the_stage(engine)
    claim = databases.run_one(databases.ledger_of(engine, stage))
    assert claim is not None
    assert claim.slot == 4
    assert problems(copy) == problems(path) == []
    assert len(sql(path, "SELECT number FROM trials")) == 4


def test_a_copy_without_a_name_lies_beside_the_database(path: Path) -> None:
    copy = maintenance.backup(url_of(path), None)
    assert copy.parent == path.parent
    assert copy.name.startswith("hpo-2")
    assert copy.suffix == ".db"


def test_a_backup_of_garbage_leaves_nothing_behind(tmp_path: Path) -> None:
    path, target = tmp_path / "bad.db", tmp_path / "copy.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseError, match="not a readable database"):
        maintenance.backup(url_of(path), target)
    assert not target.exists()
