"""A storage's connections: opened at first use, closed before a fork and at the end."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from hpo.errors import DatabaseError
from hpo.store.engine import Durability, Mode, open_engine, reading, writing
from hpo.store.optuna_tables import check_head


class Connections:
    """One connection for reading and one for writing.

    They are kept: most transactions here are shorter than taking a connection from a pool. Not
    thread-safe: the storage's lock guards them.

    Args:
        url: A SQLite URL.
        mode: "read" or "write".
        durability: What a commit survives.

    Raises:
        DatabaseError: The URL cannot be used, or the file is missing.
    """

    def __init__(self, url: str, mode: Mode, durability: Durability) -> None:
        self._engine = open_engine(url, mode, durability)
        self._read_only = mode == "read"
        self._opened: tuple[Connection, Connection] | None = None
        self._closer: weakref.finalize[..., Connections] | None = None

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a read transaction; see `engine.reading`.

        Raises:
            DatabaseError: Also when the file is not one of the schema that we know.
        """
        return reading(self._open()[0])

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a write transaction; see `engine.writing`.

        Raises:
            DatabaseError: Also when the file was opened for reading, or is not one of the schema
                that we know.
        """
        if self._read_only:
            raise DatabaseError(
                f"{self._engine.url.database} was opened read-only: nothing was written."
            )
        return writing(self._open()[1])

    def _open(self) -> tuple[Connection, Connection]:
        if self._opened is None:
            with reading(self._engine) as connection:
                check_head(connection)
            self._opened = self._engine.connect(), self._engine.connect()
            self._closer = weakref.finalize(self, _close, *self._opened)
            # At exit, others may still have something to write.
            self._closer.atexit = False
        return self._opened

    def close(self) -> None:
        """Close both; the next transaction opens them again."""
        if self._closer is not None:
            self._closer()
            self._opened = self._closer = None


def _close(reader: Connection, writer: Connection) -> None:
    reader.close()
    writer.close()
    writer.engine.dispose()
