"""Our copy of Optuna's tables against what Optuna itself creates and accepts."""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from sqlalchemy import Engine, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from hpo.errors import DatabaseError
from hpo.store.engine import open_engine, reading, writing
from hpo.store.optuna_tables import HEAD, METADATA, check_head, create_and_stamp


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_engine(f"sqlite:///{tmp_path}/ours.db", "create")
    with writing(engine) as connection:
        create_and_stamp(connection)
    return engine


def schema(path: Path) -> set[tuple[str, ...]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    connection.close()
    return {(*row[:3], re.sub(r"\s+", " ", row[3] or "").strip()) for row in rows}


def test_a_new_file_is_what_optuna_would_have_made(engine: Engine, tmp_path: Path) -> None:
    optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/stock.db").engine.dispose()
    assert schema(tmp_path / "ours.db") == schema(tmp_path / "stock.db")
    for table in ("version_info", "alembic_version"):
        rows = []
        for name in ("ours.db", "stock.db"):
            connection = sqlite3.connect(tmp_path / name)
            rows.append(connection.execute(f"SELECT * FROM {table}").fetchall())
            connection.close()
        assert rows[0] == rows[1]


def test_columns_and_types_equal_those_of_optunas_models_on_postgresql() -> None:
    from optuna.storages._rdb import models

    def ddl(tables: object) -> dict[str, str]:
        return {
            table.name: re.sub(
                r"\s+", " ", str(CreateTable(table).compile(dialect=postgresql.dialect()))
            )
            for table in tables  # type: ignore[attr-defined]
            if table.name != "alembic_version"
        }

    assert ddl(METADATA.sorted_tables) == ddl(models.BaseModel.metadata.sorted_tables)


def test_the_tables_are_made_entirely_or_not_at_all(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/new.db", "create")

    def stop_midway() -> None:
        with writing(engine) as connection:
            create_and_stamp(connection)
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        stop_midway()
    with reading(engine) as connection:
        assert inspect(connection).get_table_names() == []


def test_the_head_is_the_one_that_this_optuna_knows(engine: Engine, tmp_path: Path) -> None:
    stock = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/ours.db")
    assert stock.get_head_version() == stock.get_current_version() == HEAD
    stock.engine.dispose()
    with reading(engine) as connection:
        check_head(connection)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE alembic_version SET version_num = 'v3.0.0.d'", "optuna storage upgrade"),
        (
            "UPDATE alembic_version SET version_num = 'v9.0.0.a'",
            "v9.0.0.a, which this hpo does not",
        ),
        ("INSERT INTO alembic_version VALUES ('0001')", "2 rows"),
        ("DELETE FROM alembic_version", "not an Optuna database"),
        ("DROP TABLE alembic_version", "not an Optuna database"),
    ],
)
def test_another_head_is_refused_in_one_sentence(
    engine: Engine, statement: str, message: str
) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql(statement)
    with pytest.raises(DatabaseError, match=message), reading(engine) as connection:
        check_head(connection)


def test_neither_optuna_nor_alembic_is_imported_for_it() -> None:
    code = "import sys, hpo.store.trial_rows; print({'optuna', 'alembic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
