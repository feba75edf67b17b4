"""One SQLite file, as the driver opens it: to write, or to read also where nothing may be written.

WAL makes two files beside a database, also to read it. Where they cannot be made (a read-only
disk, somebody else's folder) a file that nobody has open is read as one that nobody changes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from hpo.errors import DatabaseError
from hpo.store.optuna_tables import HEAD

Mode = Literal["read", "write", "create"]

# Nobody but SQLite opens the file here: to close it again, anywhere in the process, drops SQLite's
# own locks on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).

_SQLITE_MODE = {"read": "ro", "write": "rw", "create": "rwc"}


class DriverConnection(sqlite3.Connection):
    """The driver's connection, which closes itself when nobody has it any more.

    Engines are left to the garbage collector, and since Python 3.13 the driver warns of each
    connection that is found open there (https://docs.python.org/3/whatsnew/3.13.html#sqlite3).
    """

    unchanging: tuple[Path, tuple[object, ...]] | None = None
    """The file and what it looked like, if it is read as one that nobody changes."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # there was nothing that could be opened
            self.close()

    @property
    def outdated(self) -> bool:
        """Whether a file that is read as one that nobody changes has changed."""
        if self.unchanging is None:
            return False
        path, appearance = self.unchanging
        return _appearance(path) != appearance


def connect(path: Path, mode: Mode, timeout_s: float) -> DriverConnection:
    """Open a file that `look` has found to be one.

    Args:
        path: The file, absolute and without links: SQLite looks beside it.
        mode: "read" changes nothing, not even its journal mode.
        timeout_s: How long to wait for a lock, in seconds.

    Raises:
        DatabaseError: The file may not be written, or what is beside it would have to be taken in
            before it is read.
        sqlite3.Error: See `engine.explain`.
    """
    if mode != "read" and look(path) is not None and not os.access(path, os.W_OK):
        # SQLite would read it then, and find out at the first change.
        raise DatabaseError(not_writable(path, "it is read-only"))
    connection = _open(path, _SQLITE_MODE[mode], timeout_s)
    if mode == "read":
        try:
            connection.execute("PRAGMA schema_version")  # the first that reads from the file
        except sqlite3.OperationalError as error:
            if not _cannot_make_files(path, error):
                raise
            connection = _open_unchanging(path, timeout_s)
    elif not _is_foreign(connection):
        _use_wal(connection, timeout_s)
    return connection


def look(path: Path) -> os.stat_result | None:
    """Return what the system knows of a path; None if nothing is there.

    Raises:
        DatabaseError: It does not let us look.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatabaseError(
            f"{path} cannot be opened ({reason}). Check its path and permissions, "
            "then: hpo db status"
        ) from None


def waiting(path: Path) -> Path | None:
    """Return the file beside a database that holds changes which are not in it yet."""
    for end in ("-wal", "-journal"):
        beside = path.with_name(path.name + end)
        found = look(beside)
        if found is not None and found.st_size > 0:
            return beside
    return None


def not_writable(path: Path, reason: str) -> str:
    """Return the sentence for a file that cannot be written."""
    return (
        f"{path} cannot be written ({reason}). Check its permissions and its folder's: SQLite "
        "makes files beside it. Or go on with a copy: hpo db backup FILE"
    )


def _open(path: Path, sqlite_mode: str, timeout_s: float) -> DriverConnection:
    # isolation_level=None: the driver begins nothing by itself, see `engine.reading`.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={sqlite_mode}",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
        factory=DriverConnection,
    )


def _cannot_make_files(path: Path, error: sqlite3.OperationalError) -> bool:
    codes = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY_DIRECTORY)
    return error.sqlite_errorcode in codes and not os.access(path.parent, os.W_OK)


def _open_unchanging(path: Path, timeout_s: float) -> DriverConnection:
    """Open a file where SQLite cannot make those that it needs, and nobody else has made them.

    `immutable` does without them and without locks, and does not see what waits beside the file
    (https://www.sqlite.org/wal.html, "Read-Only Databases"): nothing may wait there. Whether it is
    true that nobody changes the file, `outdated` tells.
    """
    appearance = _appearance(path)
    beside = waiting(path)
    if beside is not None:
        raise DatabaseError(
            f"{path} cannot be read: {beside.name} holds changes that are not in it yet, and "
            "nothing can be written there. Copy both files to another folder, or let somebody "
            "who may write run: hpo db upgrade"
        )
    connection = _open(path, "ro&immutable=1", timeout_s)
    connection.unchanging = path, appearance
    return connection


def _appearance(path: Path) -> tuple[object, ...]:
    """Return what becomes another whenever a database is changed."""
    found = look(path)
    if found is None:
        return (None,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, waiting(path)


def _is_foreign(connection: sqlite3.Connection) -> bool:
    """Return whether another program made the file, which then is not to be changed."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not names:
        return False
    if not {"studies", "alembic_version"} <= names:
        return True
    # Optuna's own schema of another version is refused later, and left as it is.
    return connection.execute("SELECT version_num FROM alembic_version").fetchall() != [(HEAD,)]


def _use_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    # SQLite does not wait for a lock here when two processes turn to WAL at once: both hold what
    # the other needs, and it says so at once. One of thirty that open a new file runs into it.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
