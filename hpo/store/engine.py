"""SQLite through SQLAlchemy, set up so that several processes can share one file.

Three settings matter, and each has a failure behind it:

* WAL journal: readers (the dashboard) and the writer do not block each other.
* `BEGIN IMMEDIATE` for every transaction that writes: a deferred transaction that turns from
  reading to writing fails at once with "database is locked", whatever the timeout
  (https://www.sqlite.org/wal.html, section 2.2).
* Opening never creates: a mistyped path must not become a new, empty database.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from hpo.errors import DatabaseError

__all__ = [
    "BUSY_TIMEOUT_S",
    "DEFAULT_URL",
    "Connection",  # for annotations elsewhere: this package is the one door to SQLAlchemy
    "Engine",
    "Mode",
    "database_path",
    "explain",
    "identity",
    "open_engine",
    "reading",
    "writing",
]

DEFAULT_URL = "sqlite:///hpo.db"
BUSY_TIMEOUT_S = 60.0
CREATION_S = 2.0

Mode = Literal["read", "write", "create"]

_READING = "hpo_reading"


def database_path(url: str) -> Path:
    """Return the file that a storage URL names.

    Args:
        url: A SQLAlchemy URL such as `sqlite:///hpo.db`.

    Raises:
        DatabaseError: Not a URL, not SQLite, no file, or a path that Optuna's own tools
            could not open (they format braces in a URL).
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # What cannot be read may hold a password and is not repeated then.
        shown = "That" if "@" in url else f"'{url}'"
        file = "hpo.db" if "@" in url or ":" in url else url
        raise DatabaseError(
            f"{shown} is not a database URL. A file is written sqlite:///{file}"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        raise DatabaseError(
            f"{parsed.render_as_string(hide_password=True)} is not a SQLite database. "
            "Only SQLite is supported, for example sqlite:///hpo.db"
        )
    if "?" in url:
        # What follows would be cut off in silence: another file than the one that was meant.
        raise DatabaseError(
            f"{url} has a question mark: options after it are not supported. "
            "In a path it is written %3F"
        )
    if parsed.host or parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise DatabaseError(f"{url} cannot be used. A file is written sqlite:///{parsed.database}")
    path = parsed.database
    if not path or path == ":memory:" or path.startswith("file:"):
        raise DatabaseError("The database must be a file, for example sqlite:///hpo.db")
    if "{" in path or "}" in path:
        raise DatabaseError(
            f"The path {path} has a brace in it, which Optuna would replace. Choose another path."
        )
    return Path(path)


def open_engine(url: str, mode: Mode) -> Engine:
    """Open a database file.

    Args:
        url: A SQLite URL.
        mode: "read" opens read-only, "write" opens an existing file, "create" also makes a new one.

    Returns:
        An engine whose transactions begin by `reading` or `writing`. It connects lazily and is
        not to be carried over a fork.

    Raises:
        DatabaseError: The URL cannot be used, or the file is missing or empty.
    """
    path = database_path(url)
    if not path.exists():
        if mode != "create":
            raise DatabaseError(
                f"There is no database {path}. A study makes one: hpo start   "
                "(or name another with --storage or HPO_STORAGE)"
            )
        if not path.parent.is_dir():
            raise DatabaseError(f"There is no folder {path.parent} to make {path.name} in.")
    elif path.is_dir():
        raise DatabaseError(f"{path} is a folder, not a database file.")
    elif _is_empty(path) and not (mode == "create" and _gets_content(path)):
        raise DatabaseError(
            f"{path} is empty ({path.stat().st_size} bytes), not a database. Nothing was changed. "
            "Restore a copy made by: hpo db backup   or remove the file"
        )
    sqlite_mode = {"read": "ro", "write": "rw", "create": "rwc"}[mode]
    uri = f"file:{quote(str(path.resolve()))}?mode={sqlite_mode}"

    def connect() -> sqlite3.Connection:
        # isolation_level=None: the driver begins nothing by itself, see `_begin`.
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA foreign_keys = ON")
        if mode != "read" and not _is_foreign(connection):
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
        return connection

    engine = create_engine(url, creator=connect, hide_parameters=True)
    event.listen(engine, "begin", _begin)
    return engine


def _is_empty(path: Path) -> bool:
    return path.stat().st_size <= 1  # SQLite takes a file of one byte for a new one, too


def _gets_content(path: Path) -> bool:
    """Wait for a process that is making the file just now: SQLite creates it empty."""
    deadline = time.monotonic() + CREATION_S
    while _is_empty(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _is_foreign(connection: sqlite3.Connection) -> bool:
    """Return whether another program made the file, which then is not to be changed."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    return bool(names) and not {"studies", "alembic_version"} <= names


def _use_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for a lock here when two processes turn to WAL at once: both hold what
    # the other needs, and it says so at once. One of thirty that open a new file runs into it.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READING, False)
    # On the driver's connection: through SQLAlchemy's it costs as much as a query.
    driver: Any = connection.connection.dbapi_connection
    driver.execute("BEGIN" if reading else "BEGIN IMMEDIATE")


def identity(engine: Engine) -> tuple[int, int]:
    """Return what tells a database file from every other, also from a later one of its name.

    Raises:
        DatabaseError: The file is gone.
    """
    path = database_path(str(engine.url))
    try:
        found = path.stat()
    except FileNotFoundError:
        raise DatabaseError(
            f"{path} was removed while it was in use. What was written to it since is lost."
        ) from None
    return found.st_dev, found.st_ino


@contextmanager
def reading(source: Engine | Connection) -> Iterator[Connection]:
    """Open a read transaction: one consistent view, never waits for the writer.

    Args:
        source: An engine; or for many short transactions a connection, which saves the pool's
            share (half) of their cost.

    Raises:
        DatabaseError: The file cannot be read.
    """
    with _explained(source.engine), _connected(source) as connection:
        connection.execution_options(**{_READING: True})
        with connection.begin():
            yield connection


@contextmanager
def writing(source: Engine | Connection) -> Iterator[Connection]:
    """Open a write transaction: holds SQLite's write lock from its first statement.

    Args:
        source: An engine, or a connection that is not used for reading.

    Raises:
        DatabaseError: The file cannot be written, or stayed locked for `BUSY_TIMEOUT_S`.
    """
    with _explained(source.engine), _connected(source) as connection, connection.begin():
        yield connection


def _connected(source: Engine | Connection) -> AbstractContextManager[Connection]:
    return source.connect() if isinstance(source, Engine) else nullcontext(source)


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into one sentence with a way out."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause: Any = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise  # A broken rule of ours, not a broken file.
        raise DatabaseError(explain(engine, str(cause))) from error
    except SQLAlchemyError as error:
        raise DatabaseError(explain(engine, str(error))) from error


def explain(engine: Engine, reason: str) -> str:
    """Return the sentence for a database error, by SQLite's own reason."""
    name = engine.url.database
    if "not a database" in reason or "malformed" in reason:
        return (
            f"{name} is not a readable database ({reason}). Nothing was changed. "
            "Restore a copy made by: hpo db backup"
        )
    if "locked" in reason:
        return (
            f"{name} stayed locked for {BUSY_TIMEOUT_S:.0f} s by another program. "
            "Close it and run the command again."
        )
    if "readonly" in reason:
        return (
            f"{name} cannot be written ({reason}). Check its permissions and its folder's: "
            "SQLite makes files beside it, also to read."
        )
    if "unable to open" in reason:
        return f"{name} cannot be opened ({reason}). Check its permissions and its folder's."
    if "full" in reason:
        return f"The disk is full: {name} could not grow. Free some space, then: hpo resume STUDY"
    if "no such table" in reason or "no such column" in reason:
        return f"{name} is not a database of hpo ({reason}). Look with: hpo db status"
    return f"{name} could not be used: {reason}"
