"""Which revision of our tables a database has, and how it gets the newest.

A new file is made in one transaction, from `tables.metadata`, and stamped: the result equals that
of the migrations (a test compares them), and Alembic is imported only by `upgrade`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select

import hpo
from hpo.errors import DatabaseError
from hpo.store import optuna_tables, tables
from hpo.store.engine import reading, writing

HEAD = "0004"
VERSION_TABLE = "hpo_alembic_version"

_OPTUNAS = {"studies", "alembic_version"}
"""Tables by which a database of Optuna's is told from another program's."""

_versions = Table(
    VERSION_TABLE,
    MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),
    Column("version_num", String(32), primary_key=True),
)


def prepare(engine: Engine) -> None:
    """Make sure that a database has Optuna's tables and ours, at the revisions that we know.

    A new file gets both; a database of Optuna's gets ours beside them.

    Raises:
        DatabaseError: It belongs to another program, or to another revision.
    """
    with reading(engine) as connection:
        current = revision(connection)
        if current == HEAD:
            optuna_tables.check_head(connection)
            return
    if current is not None:
        raise DatabaseError(_mismatch(engine, current))
    with writing(engine) as connection:
        # Asked again under the write lock: another process may have made the tables meanwhile.
        names = set(inspect(connection).get_table_names())
        if VERSION_TABLE in names:
            return
        if not names:
            optuna_tables.create_and_stamp(connection)
        elif not names >= _OPTUNAS:
            raise DatabaseError(_of_another(engine, names))
        else:
            optuna_tables.check_head(connection)
        tables.metadata.create_all(connection)
        _versions.create(connection)
        connection.execute(_versions.insert(), {"version_num": HEAD})


def check(engine: Engine) -> None:
    """Make sure that a database is one of ours, at the revisions that we know.

    Raises:
        DatabaseError: It is not; says what it is and which command helps.
    """
    with reading(engine) as connection:
        current = revision(connection)
        if current is None:
            names = set(inspect(connection).get_table_names())
            if names and not names >= _OPTUNAS:
                raise DatabaseError(_of_another(engine, names))
            if names:  # of another schema, `hpo start` is no way out
                optuna_tables.check_head(connection)
        if current != HEAD:
            raise DatabaseError(_mismatch(engine, current))
        optuna_tables.check_head(connection)


def revision(connection: Connection) -> str | None:
    """Return the revision of our tables, or None where there are none.

    Raises:
        DatabaseError: The version table does not hold exactly one row.
    """
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    rows = list(connection.scalars(select(_versions.c.version_num)))
    if len(rows) != 1:
        raise DatabaseError(
            f"{VERSION_TABLE} holds {len(rows)} revisions instead of one. "
            "Restore a copy made by: hpo db backup"
        )
    return str(rows[0])


def upgrade(engine: Engine) -> None:
    """Bring our tables to the newest revision, in one transaction.

    Raises:
        DatabaseError: The database is newer than this version of hpo.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(script_location()).replace("%", "%%"))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise DatabaseError(_mismatch(engine, revision(connection))) from None


def script_location() -> Path:
    """Return the folder of the migrations: inside the installed package, or at the tree's top."""
    package = Path(hpo.__file__).parent
    installed = package / "_alembic"
    return installed if (installed / "env.py").exists() else package.parent / "alembic"


def _of_another(engine: Engine, names: set[str]) -> str:
    return (
        f"{engine.url.database} is a database of another program "
        f"(it has {', '.join(sorted(names)[:3])}). Nothing was changed. "
        "Name another file with --storage"
    )


def _mismatch(engine: Engine, current: str | None) -> str:
    name = engine.url.database
    if current is None:
        return f"{name} holds no studies of hpo. A study makes its tables: hpo start"
    known = [path.name.split("_")[0] for path in (script_location() / "versions").glob("*.py")]
    if current in known:
        return (
            f"{name} has revision {current} of the tables, this hpo needs {HEAD}. "
            "Run: hpo db upgrade"
        )
    return (
        f"{name} has revision {current} of the tables, which this hpo ({hpo.__version__}) does "
        "not know. Install the newer one that wrote it: pip install -U hpo-service"
    )
