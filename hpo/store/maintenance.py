"""The database as a file: its state, upgrade and backup."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, func, inspect, select

from hpo.errors import DatabaseError
from hpo.store import migrations, optuna_tables
from hpo.store.engine import database_path, opened, reading
from hpo.store.sqlite_file import look, waiting
from hpo.store.studies import all_studies
from hpo.store.tables import slots


def status(url: str) -> dict[str, Any]:
    """Return what a database is, without judging it.

    Raises:
        DatabaseError: It cannot be read at all.
    """
    path = database_path(url)
    with opened(url, "read") as engine, reading(engine) as connection:
        current = migrations.revision(connection)
        found: dict[str, Any] = {
            "file": str(path),
            "size_bytes": path.stat().st_size,
            "revision": current or "none: no tables of hpo",
            "newest_revision": migrations.HEAD,
            "optuna_schema": _optuna_schema(connection) or "none",
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
    with opened(url, "write") as engine:
        with reading(engine) as connection:
            before = migrations.revision(connection)
            if before is None and _optuna_schema(connection) is None:
                raise DatabaseError(
                    f"{database_path(url)} is not a database of hpo or Optuna. Nothing was changed."
                )
            optuna_tables.check_head(connection)
        migrations.upgrade(engine)
    return before, migrations.HEAD


def _optuna_schema(connection: Connection) -> str | None:
    """Return the schema of Optuna's tables, also one that we cannot use; None without them."""
    if not {"studies", "alembic_version"} <= set(inspect(connection).get_table_names()):
        return None
    return ", ".join(connection.scalars(select(optuna_tables.alembic_version.c.version_num)))


def backup(url: str, target: Path | None) -> Path:
    """Copy a database, also while others write to it.

    The copy is one file, which can be read where nothing can be written, too.

    Args:
        url: The database.
        target: The new file; default beside the database, with the time in its name.

    Returns:
        The new file.

    Raises:
        DatabaseError: The target exists, or the copy cannot be made.
    """
    source = database_path(url)
    now = datetime.now(UTC)
    target = target or source.with_name(f"{source.stem}-{now:%Y%m%d-%H%M%S}.db")
    if look(target) is not None:
        raise DatabaseError(_taken(target))
    if not target.parent.is_dir():
        raise DatabaseError(f"There is no folder {target.parent}.")
    if (beside := waiting(target.resolve())) is not None:
        raise DatabaseError(
            f"{beside} holds changes of another database {target.name}, which would be taken into "
            "the copy. Name another file."
        )
    try:
        # Half a copy, as a kill leaves it, must not be taken for a whole one.
        with (
            opened(url, "read") as engine,
            TemporaryDirectory(".part", "hpo-backup-", target.parent) as folder,
        ):
            part = Path(folder) / "part"
            with reading(engine) as connection:
                inspect(connection).get_table_names()  # of what is no database, it fails here
                raw = connection.connection.driver_connection
                assert isinstance(raw, sqlite3.Connection)
                _copy(raw, part)
            _name(part, target)
    except FileExistsError:  # since we looked
        raise DatabaseError(_taken(target)) from None
    except OSError as error:  # of the target: `reading` explains those of the database
        raise DatabaseError(
            f"{target} cannot be written: {error.strerror}. Nothing is left of it; "
            "name a file elsewhere: hpo db backup FILE"
        ) from None
    return target


def _taken(target: Path) -> str:
    return f"{target} exists already. Name another file."


def _name(part: Path, target: Path) -> None:
    """Give a file its name, unless another file has it.

    Raises:
        OSError: One has it, or the name cannot be given.
    """
    try:
        os.link(part, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # FAT and some network folders have no links. A kill here leaves an empty file, which is
        # taken for no database.
        target.touch(exist_ok=False)
        part.replace(target)


def _copy(source: sqlite3.Connection, part: Path) -> None:
    """Write a database into a new file.

    Raises:
        OSError: It cannot be written.
    """
    try:
        with closing(sqlite3.connect(part)) as copy:
            source.backup(copy)  # https://www.sqlite.org/backup.html: safe beside writers
            # In WAL mode, as the source is, it would need more files beside it, also to read.
            copy.execute("PRAGMA locking_mode = EXCLUSIVE")
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error)) from None
