"""The tables of hpo: made at once or by migrations the same, and beside Optuna's untouched."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import alembic.command
import databases
import optuna
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from commands import run
from databases import sql, url_of
from processes import start_call, together
from sqlalchemy import Connection, Engine, event, inspect

from hpo.errors import DatabaseError
from hpo.store import maintenance, migrations, tables
from hpo.store.check import check
from hpo.store.engine import open_engine, reading, writing

ROOT = Path(migrations.script_location()).parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hpo.db"


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """Return a database that stock Optuna made, with two finished trials in it."""
    path = tmp_path / "stock.db"
    storage = optuna.storages.RDBStorage(url_of(path))
    study = optuna.create_study(study_name="theirs", storage=storage)
    study.set_user_attr("who", "they")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    storage.engine.dispose()
    return path


def stock_trials(path: Path) -> list[tuple[int, Any]]:
    storage = optuna.storages.RDBStorage(url_of(path))
    study = optuna.load_study(study_name="theirs", storage=storage)
    found = [(trial.number, trial.value) for trial in study.trials]
    storage.engine.dispose()
    return found


def downgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.script_location()))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")


def shape(path: Path) -> dict[str, Any]:
    """Return everything that SQLAlchemy can tell of our tables, and how SQLite made them."""
    engine = open_engine(url_of(path), "read")
    found: dict[str, Any] = {}
    with reading(engine) as connection:
        inspector = inspect(connection)
        for name in inspector.get_table_names():
            if not name.startswith("hpo_"):
                continue
            columns = {
                column["name"]: (
                    str(column["type"]),
                    column["nullable"],
                    column["default"],
                    column["primary_key"],
                )
                for column in inspector.get_columns(name)
            }
            ((made,),) = sql(path, "SELECT sql FROM sqlite_master WHERE name = ?", name)
            found[name] = {
                "columns": columns,
                "order": list(columns),
                "primary key": inspector.get_pk_constraint(name),
                "unique": sorted(map(str, inspector.get_unique_constraints(name))),
                "indexes": sorted(map(str, inspector.get_indexes(name))),
                "foreign keys": sorted(map(str, inspector.get_foreign_keys(name))),
                "autoincrement": "AUTOINCREMENT" in made,
                "rowid": "WITHOUT ROWID" not in made,
            }
    return found


def of_optuna(path: Path) -> dict[str, Any]:
    """Return the definitions and rows of everything that is not ours, as they are stored."""
    ours = "(name LIKE 'hpo%' OR tbl_name LIKE 'hpo%' OR name = 'sqlite_sequence')"
    made = sql(path, f"SELECT type, name, sql FROM sqlite_master WHERE NOT {ours} ORDER BY name")
    names = [name for kind, name, _ in made if kind == "table"]
    return {"made": made, **{name: sql(path, f"SELECT * FROM {name}") for name in names}}


# The same tables, whichever way they were made


def test_migrated_and_newly_made_tables_are_the_same(stock: Path, path: Path) -> None:
    databases.new(path)
    migrations.upgrade(open_engine(url_of(stock), "write"))
    made = shape(path)
    assert set(made) == {*tables.metadata.tables, migrations.VERSION_TABLE}
    assert shape(stock) == made
    assert [name for name, table in made.items() if table["autoincrement"]] == [
        "hpo_slots",
        "hpo_stages",
        "hpo_studies",
    ]
    for file in (stock, path):
        assert sql(file, f"SELECT * FROM {migrations.VERSION_TABLE}") == [(migrations.HEAD,)]


def differences(path: Path) -> list[Any]:
    with reading(open_engine(url_of(path), "read")) as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _: kind != "table" or name in ours,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        ours = set(tables.metadata.tables)
        return list(compare_metadata(context, tables.metadata))


def test_the_migrations_make_what_the_tables_say(stock: Path) -> None:
    engine = open_engine(url_of(stock), "write")
    migrations.upgrade(engine)
    assert differences(stock) == []
    sql(stock, "ALTER TABLE hpo_slots ADD COLUMN forgotten INTEGER")  # the comparison can fail
    assert len(differences(stock)) == 1


def test_there_is_one_newest_revision_and_it_is_ours() -> None:
    script = ScriptDirectory(str(migrations.script_location()))
    assert script.get_heads() == [migrations.HEAD]
    for revision in script.walk_revisions():
        assert Path(revision.path).name.startswith(f"{revision.revision}_")  # `_mismatch` reads it


def test_alembics_own_command_works_in_a_checkout(stock: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "alembic", "-x", f"url={url_of(stock)}", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    before = of_optuna(stock)
    run("upgrade", "head")
    assert set(shape(stock)) > set(tables.metadata.tables)
    assert "No new upgrade operations" in run("check")
    assert of_optuna(stock) == before


# Optuna's tables


def test_optunas_tables_stay_as_they_are_up_and_down(stock: Path) -> None:
    before = of_optuna(stock)
    assert before["studies"]
    engine = open_engine(url_of(stock), "write")
    migrations.upgrade(engine)
    assert of_optuna(stock) == before
    migrations.upgrade(engine)
    assert of_optuna(stock) == before
    databases.started(engine, 2, "ours")
    with_ours = of_optuna(stock)
    downgrade(engine)
    assert of_optuna(stock) == with_ours
    assert with_ours["made"] == before["made"]
    assert set(shape(stock)) == {migrations.VERSION_TABLE}
    assert sql(stock, f"SELECT * FROM {migrations.VERSION_TABLE}") == []


def test_a_database_of_optuna_gains_our_tables_and_stays_theirs(stock: Path, path: Path) -> None:
    before, trials = of_optuna(stock), stock_trials(stock)
    engine = databases.new(stock)
    assert of_optuna(stock) == before
    databases.new(path)
    assert shape(stock) == shape(path)
    stage = databases.started(engine, 2, "ours")
    while databases.run_one(databases.ledger_of(engine, stage)) is not None:
        pass
    assert stock_trials(stock) == trials
    assert optuna.get_all_study_names(url_of(stock)) == ["theirs", "ours/1"]
    assert databases.problems(stock) == []


def test_optunas_upgrade_leaves_ours_alone(path: Path) -> None:
    databases.started(databases.new(path))
    before, theirs = shape(path), of_optuna(path)
    rows = {name: sql(path, f"SELECT * FROM {name}") for name in before}
    storage = optuna.storages.RDBStorage(url_of(path))
    storage.upgrade()
    storage.engine.dispose()
    assert shape(path) == before
    assert {name: sql(path, f"SELECT * FROM {name}") for name in before} == rows
    assert of_optuna(path) == theirs
    assert databases.problems(path) == []


@pytest.mark.parametrize(
    ("schema", "way_out"),
    [
        ("v3.0.0.d", r"older Optuna .*: optuna storage upgrade --storage sqlite:///.*hpo.db$"),
        ("v9.9.0.a", r"does not know .*Update hpo: pip install -U hpo-service$"),
    ],
)
def test_a_database_of_another_optuna_says_what_to_do(
    schema: str, way_out: str, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((ROOT / "tests/fixtures/optuna-3.1.sql").read_text())
    sql(path, "UPDATE alembic_version SET version_num = ?", schema)
    for opening in openings(path):
        refused(path, opening, f"schema {schema}", way_out)
    told = run("resume", 1, "--storage", url_of(path))
    assert told.exit_code == 3
    assert re.search(way_out, told.stderr.rstrip())


def test_optunas_own_upgrade_is_the_way_out(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((ROOT / "tests/fixtures/optuna-3.1.sql").read_text())
    told = run("db", "check", "--storage", url_of(path)).stderr
    command = shlex.split(told[told.index("optuna storage upgrade") :])
    command[0] = str(Path(sys.executable).with_name("optuna"))
    subprocess.run(command, check=True, capture_output=True)
    assert run("db", "check", "--storage", url_of(path)).exit_code == 0


# Revisions


def refused(path: Path, what: Any, *words: str) -> None:
    """Call something that has to refuse the database in one sentence and leave it alone."""
    before = sql(path, "SELECT * FROM sqlite_master"), of_optuna(path)
    with pytest.raises(DatabaseError) as caught:
        what()
    for word in words:
        assert re.search(word, str(caught.value)), str(caught.value)
    assert caught.value.exit_code == 3
    assert (sql(path, "SELECT * FROM sqlite_master"), of_optuna(path)) == before


def openings(path: Path) -> list[Any]:
    engine = open_engine(url_of(path), "write")
    return [
        lambda: migrations.check(engine),
        lambda: migrations.prepare(engine),
        lambda: check(url_of(path)),
    ]


def test_an_older_revision_names_the_command(path: Path) -> None:
    databases.new(path)
    sql(path, "UPDATE hpo_alembic_version SET version_num = '0001'")
    for opening in openings(path):
        refused(path, opening, "has revision 0001", "needs 0004", "Run: hpo db upgrade$")
    assert maintenance.status(url_of(path))["revision"] == "0001"


@pytest.mark.parametrize("revision", ["0005", "9999", "odd"])
def test_a_newer_revision_is_refused(revision: str, path: Path) -> None:
    databases.new(path)
    sql(path, "UPDATE hpo_alembic_version SET version_num = ?", revision)
    for opening in [*openings(path), lambda: maintenance.upgrade(url_of(path))]:
        refused(path, opening, f"has revision {revision}", "does not know", "newer one")
    assert sql(path, "SELECT * FROM hpo_alembic_version") == [(revision,)]
    assert maintenance.status(url_of(path))["revision"] == revision


@pytest.mark.parametrize("rows", [(), ("0001", "0002")])
def test_a_version_table_without_exactly_one_row(rows: tuple[str, ...], path: Path) -> None:
    databases.new(path)
    sql(path, "DELETE FROM hpo_alembic_version")
    for row in rows:
        sql(path, "INSERT INTO hpo_alembic_version VALUES (?)", row)
    for opening in [*openings(path), lambda: maintenance.upgrade(url_of(path))]:
        refused(path, opening, f"holds {len(rows)} revisions instead of one", "hpo db backup")


def test_two_rows_in_optunas_version_table(path: Path) -> None:
    databases.new(path)
    sql(path, "INSERT INTO alembic_version VALUES ('0001')")
    for opening in openings(path):
        refused(path, opening, "2 rows in Optuna's table alembic_version")


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    sql(path, "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
    sql(path, "INSERT INTO customers (name) VALUES ('Ada')")
    engine = open_engine(url_of(path), "create")
    refused(path, lambda: migrations.prepare(engine), "another program", "customers", "--storage")
    refused(path, lambda: migrations.check(engine), "another program", "customers", "--storage")
    refused(path, lambda: maintenance.upgrade(url_of(path)), "not a database of hpo or Optuna")
    refused(path, lambda: check(url_of(path)), "another program")
    assert maintenance.status(url_of(path))["revision"] == "none: no tables of hpo"
    assert sql(path, "SELECT * FROM customers") == [(1, "Ada")]


def test_a_database_of_another_program_that_uses_alembic(path: Path) -> None:
    sql(path, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    sql(path, "INSERT INTO alembic_version VALUES ('abc')")
    sql(path, "CREATE TABLE studies (id INTEGER PRIMARY KEY)")
    engine = open_engine(url_of(path), "create")
    refused(path, lambda: migrations.prepare(engine), "schema abc")


def test_upgrade_says_what_it_did(stock: Path) -> None:
    assert maintenance.status(url_of(stock))["revision"] == "none: no tables of hpo"
    assert maintenance.upgrade(url_of(stock)) == (None, migrations.HEAD)
    assert maintenance.upgrade(url_of(stock)) == (migrations.HEAD, migrations.HEAD)
    status = maintenance.status(url_of(stock))
    assert (status["revision"], status["studies"], status["trials"]) == (migrations.HEAD, 0, 0)
    assert status["optuna_schema"] == "v3.2.0.a"


def test_half_made_tables_are_never_seen(path: Path) -> None:
    engine = open_engine(url_of(path), "create")

    def stop_halfway() -> None:
        with writing(engine) as connection:
            tables.metadata.create_all(connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop_halfway()
    assert sql(path, "SELECT name FROM sqlite_master") == []
    migrations.prepare(engine)
    assert databases.problems(path) == []


def test_who_was_overtaken_makes_nothing_twice(path: Path) -> None:
    slow, fast = (open_engine(url_of(path), "create") for _ in range(2))
    connected = 0

    @event.listens_for(slow, "engine_connect")
    def overtake(connection: Connection) -> None:
        nonlocal connected
        connected += 1
        if connected == 2:  # it has seen an empty file, and is about to write
            migrations.prepare(fast)

    migrations.prepare(slow)
    assert connected == 2
    assert sql(path, "SELECT * FROM hpo_alembic_version") == [(migrations.HEAD,)]
    assert databases.problems(path) == []


def test_six_processes_make_a_new_file_at_once(path: Path) -> None:
    together([start_call(databases.prepare, path) for _ in range(6)])
    assert sql(path, "SELECT * FROM hpo_alembic_version") == [(migrations.HEAD,)]
    assert sql(path, "SELECT count(*) FROM version_info") == [(1,)]
    assert databases.problems(path) == []
    storage = optuna.storages.RDBStorage(url_of(path))
    storage.engine.dispose()
