"""SQLite through SQLAlchemy, set up so that several processes can share one file.

Three settings matter, and each has a failure behind it:

* WAL journal: readers (the dashboard) and the writer do not block each other.
* `BEGIN IMMEDIATE` for every transaction that writes: a deferred transaction that turns from
  reading to writing fails at once with "database is locked", whatever the timeout
  (https://www.sqlite.org/wal.html, section 2.2).
* Opening never creates: a mistyped path must not become a new, empty database.
"""

from __future__ import annotations

import json
import math
import shlex
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from hpo.errors import DatabaseError, DatabaseLocked
from hpo.store.sqlite_file import (
    DriverConnection,
    Mode,
    connect,
    look,
    not_writable,
    waiting,
)

__all__ = [
    "BUSY_TIMEOUT_S",
    "DEFAULT_URL",
    "Connection",  # for annotations elsewhere: this package is the one door to SQLAlchemy
    "Durability",
    "Engine",
    "Mode",
    "Patience",
    "database_path",
    "explain",
    "identity",
    "open_engine",
    "opened",
    "reading",
    "unlimited",
    "writing",
]

DEFAULT_URL = "sqlite:///hpo.db"
BUSY_TIMEOUT_S = 60.0
"""How long to wait for another program's lock."""

Patience = Callable[[], float]
"""Tells, again and again, after how many seconds of waiting to give up before that."""

CREATION_S = 2.0

Durability = Literal["normal", "full"]
"""What a commit survives: the death of any process, or a power cut too."""

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
"""SQLite's codes for a file that another program holds."""

_READING = "hpo_reading"
_PATIENCE = "hpo_patience"

_DEAF_S = 0.1
"""SQLite waits in its own code, where Python hears no signal: not longer than this at a time."""


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
        # What cannot be read may hold a password and is repeated only if it looks like a path.
        shown = "That" if "@" in url or "=" in url else f"'{url}'"
        file = "hpo.db" if ":" in url or shown == "That" else url
        raise DatabaseError(
            f"{shown} is not a database URL. A file is written sqlite:///{file}"
        ) from None
    # Passwords are also found among the options, and in front of a file's name for SQLCipher.
    shown = parsed.set(query={}).render_as_string(hide_password=True)
    if parsed.get_backend_name() != "sqlite":
        raise DatabaseError(
            f"{shown} is not a SQLite database. "
            "Only SQLite is supported, for example sqlite:///hpo.db"
        )
    if "?" in url:
        # What follows would be cut off in silence: another file than the one that was meant.
        raise DatabaseError(
            f"{shown} has a question mark behind it: options are not supported. "
            "In a path it is written %3F"
        )
    if parsed.host or parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise DatabaseError(
            f"{shown} cannot be used. A file is written sqlite:///{parsed.database}"
        )
    path = parsed.database
    if not path or path == ":memory:" or path.startswith("file:"):
        raise DatabaseError("The database must be a file, for example sqlite:///hpo.db")
    if "{" in path or "}" in path:
        raise DatabaseError(
            f"The path {path} has a brace in it, which Optuna would replace. Choose another path."
        )
    return Path(path)


def open_engine(url: str, mode: Mode, durability: Durability = "normal") -> Engine:
    """Open a database file.

    Args:
        url: A SQLite URL.
        mode: "read" opens read-only, "write" opens an existing file, "create" also makes a new one.
        durability: "full" waits at each commit until the disk has it.

    Returns:
        An engine whose transactions begin by `reading` or `writing`. It connects lazily and is
        not to be carried over a fork.

    Raises:
        DatabaseError: The URL cannot be used, or names no file, or an empty one.
    """
    path = database_path(url)
    _check_file(path, mode)
    path = path.resolve()

    def creator() -> sqlite3.Connection:
        connection = connect(path, mode, BUSY_TIMEOUT_S)
        connection.execute("PRAGMA foreign_keys = ON")
        if mode != "read":
            connection.execute(f"PRAGMA synchronous = {durability}")
            if durability == "full":
                connection.execute("PRAGMA fullfsync = ON")  # macOS: past the disk's own cache
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
        return connection

    engine = create_engine(url, creator=creator, hide_parameters=True)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def opened(url: str, mode: Mode, durability: Durability = "normal") -> Iterator[Engine]:
    """Open a database file for a while; see `open_engine`.

    With the last connection goes the log beside the file: what is left is one file, and whole.
    """
    engine = open_engine(url, mode, durability)
    try:
        yield engine
    finally:
        engine.dispose()


def _check_file(path: Path, mode: Mode) -> None:
    """Refuse what cannot be a database, before anything is opened."""
    found = look(path)
    if found is None:
        _refuse_orphans(path)
        if mode != "create":
            raise DatabaseError(
                f"There is no database {path}. A study makes one: hpo start   "
                "(or name another with --storage or HPO_STORAGE)"
            )
        if not path.parent.is_dir():
            raise DatabaseError(
                f"There is no folder {path.parent} to make {path.name} in. "
                f"Make it first: mkdir -p {shlex.quote(str(path.parent))}"
            )
    elif stat.S_ISDIR(found.st_mode):
        raise DatabaseError(
            f"{path} is a folder, not a database file. Name a file in it: "
            f"--storage sqlite:///{path / 'hpo.db'}"
        )
    elif not stat.S_ISREG(found.st_mode):
        raise DatabaseError(
            f"{path} is a pipe or a device, not a database file. Name a file: --storage sqlite:///hpo.db"
        )
    elif _is_empty(path) and not (mode == "create" and _gets_content(path)):
        beside = waiting(path)  # a new file of that name would be refused beside it
        log = f" and {beside}" if beside else ""
        raise DatabaseError(
            f"{path} is empty ({found.st_size} bytes), not a database. Nothing was changed. "
            f"Restore a copy made by: hpo db backup   or remove the file{log}"
        )


def _refuse_orphans(path: Path) -> None:
    """Refuse a database that is gone while its newest changes still lie there.

    SQLite would remove them when it makes a new file of that name.
    """
    beside = waiting(path.resolve())
    if beside is not None and look(path) is None:  # it was not made by another process meanwhile
        raise DatabaseError(
            f"There is no database {path}, but {beside.name} beside it holds the newest changes of "
            f"one. Nothing was changed. Put that same {path.name} back; or, before you begin anew "
            "or restore a copy, move the other away: "
            f"mv {shlex.quote(str(beside))} {shlex.quote(f'{beside}.old')}"
        )


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


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    # On the driver's connection: through SQLAlchemy's it costs as much as a query.
    if options.get(_READING):
        _driver(connection).execute("BEGIN")
    else:
        _take_lock(_driver(connection), options.get(_PATIENCE, unlimited))


def unlimited() -> float:
    """Give up after `BUSY_TIMEOUT_S` only."""
    return math.inf


def _take_lock(driver: DriverConnection, patience: Patience) -> None:
    began = time.monotonic()
    driver.execute(f"PRAGMA busy_timeout = {_DEAF_S * 1000:.0f}")
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                waited = time.monotonic() - began
                if not locked or waited > min(BUSY_TIMEOUT_S, patience()):
                    raise
            else:
                return
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")


def _driver(connection: Connection) -> DriverConnection:
    return cast(DriverConnection, connection.connection.dbapi_connection)


def identity(engine: Engine) -> tuple[int, int]:
    """Return what tells a database file from every other, also from a later one of its name.

    Raises:
        DatabaseError: The file is gone, or cannot be looked at any more.
    """
    path = database_path(str(engine.url))
    found = look(path)
    if found is None:
        beside = waiting(path)
        log = f": {beside.name} beside it holds the newest results" if beside else ""
        rest = f"remove {beside.name} and " if beside else ""
        raise DatabaseError(
            f"{path} was removed or moved while it was in use. If it was moved, move it back "
            f"before anything else{log}. Otherwise {rest}restore a copy made by: hpo db backup"
        )
    return found.st_dev, found.st_ino


@contextmanager
def reading(source: Engine | Connection) -> Iterator[Connection]:
    """Open a read transaction: one consistent view, never waits for the writer.

    Args:
        source: An engine; or for many short transactions a connection, which saves the pool's
            share (half) of their cost.

    Raises:
        DatabaseError: The file cannot be read, or was changed where it cannot be locked.
    """
    with _explained(source.engine), _connected(source) as connection:
        connection.execution_options(**{_READING: True})
        if _driver(connection).outdated:
            connection.invalidate()
        driver = _driver(connection)  # another one then
        try:
            with _ended(driver), connection.begin():
                yield connection
        finally:
            if driver.outdated:  # explains whatever was found
                raise DatabaseError(
                    f"{source.engine.url.database} was changed by another program while it was "
                    "read without locks. Run the command again."
                )


@contextmanager
def writing(source: Engine | Connection, patience: Patience = unlimited) -> Iterator[Connection]:
    """Open a write transaction: holds SQLite's write lock from its first statement.

    Args:
        source: An engine, or a connection that is not used for reading.
        patience: Tells how long to wait for the lock.

    Raises:
        DatabaseError: The file cannot be written.
        DatabaseLocked: It stayed locked for longer than that.
    """
    with _explained(source.engine), _connected(source) as connection:
        connection.execution_options(**{_PATIENCE: patience})
        with _ended(_driver(connection)), connection.begin():
            yield connection


@contextmanager
def _ended(driver: DriverConnection) -> Iterator[None]:
    """End a transaction that SQLAlchemy does not know of: Ctrl-C came right after its BEGIN."""
    try:
        yield
    finally:
        with suppress(sqlite3.ProgrammingError):  # SQLAlchemy has closed it, and so ended it
            if driver.in_transaction:
                driver.rollback()


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
        kind = DatabaseLocked if _is_lock(cause) else DatabaseError
        raise kind(explain(engine, cause)) from error
    # The last two are of damaged text; SQLite's own messages quote it, too.
    except (SQLAlchemyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatabaseError(explain(engine, error)) from error


def _is_lock(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _LOCKED


def explain(engine: Engine, error: Exception) -> str:
    """Return the sentence for a database error, by SQLite's own code for its reason."""
    path, reason = Path(str(engine.url.database)), str(error)
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if isinstance(error, ValueError) or "Could not decode" in reason:  # the driver has no code
        code, reason = sqlite3.SQLITE_CORRUPT, "it has damaged text in it"
    match code & 0xFF:  # what is above tells more, see https://www.sqlite.org/rescode.html
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            beside = waiting(path)  # would be taken into the copy, and break it
            without = f"   and remove {beside}" if beside else ""
            return (
                f"{path} is not a readable database ({reason}). Nothing was changed. "
                f"Restore a copy made by: hpo db backup{without}"
            )
        case kind if kind in _LOCKED:
            return (
                f"{path} stayed locked for {BUSY_TIMEOUT_S:.0f} s by another program. "
                "Close it and run the command again."
            )
        case sqlite3.SQLITE_READONLY if code == sqlite3.SQLITE_READONLY_ROLLBACK:
            return (
                f"{path} was left by another program in the middle of a change. "
                "To take that back: hpo db upgrade"
            )
        case sqlite3.SQLITE_READONLY:
            return not_writable(path, reason)
        case sqlite3.SQLITE_CANTOPEN:
            return (
                f"{path} cannot be opened ({reason}). Check its permissions and its folder's: "
                "SQLite makes files beside it. Then look with: hpo db status"
            )
        case sqlite3.SQLITE_FULL:
            return (
                f"The disk is full: {path} could not grow. Free some space, then resume the study, "
                "whose id is in: hpo list"
            )
        case sqlite3.SQLITE_IOERR:
            return (
                f"The disk failed while {path} was used ({reason}): it may be over a quota, or "
                "broken. Mend that, then look with: hpo db check   and resume the study, whose id "
                "is in: hpo list"
            )
        case sqlite3.SQLITE_ERROR if "no such table" in reason or "no such column" in reason:
            return f"{path} is not a database of hpo ({reason}). Look with: hpo db status"
        case _:
            return f"{path} could not be used ({reason}). Look with: hpo db check"
