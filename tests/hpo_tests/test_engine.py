"""Opening SQLite files: every mistake has its sentence, and none of them changes a file."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import databases
import optuna
import pytest
from databases import sql, url_of
from processes import start_call
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from hpo.errors import DatabaseError, DatabaseLocked
from hpo.store import engine as engines
from hpo.store import maintenance, migrations, sqlite_file
from hpo.store.check import check
from hpo.store.engine import Mode, database_path, open_engine, reading, writing
from hpo.store.optuna_storage import Storage

# URLs


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("hpo.db", "'hpo.db' is not a database URL. A file is written sqlite:///hpo.db"),
        ("/data/hpo.db", "A file is written sqlite:////data/hpo.db"),
        ("postgresql://me:secret@host/db", "Only SQLite is supported, for example sqlite:///"),
        ("mysql+pymysql://host/db", "is not a SQLite database"),
        ("nonsense://host/db", "is not a SQLite database"),
        ("sqlite://", "The database must be a file"),
        ("sqlite:///", "The database must be a file"),
        ("sqlite:///:memory:", "The database must be a file"),
        ("sqlite:///file:hpo.db", "The database must be a file"),
        ("sqlite:///a{b}.db", "a{b}.db has a brace in it"),
        ("sqlite:///a%7Bb.db", "a{b.db has a brace in it"),
        ("sqlite:///hpo.db?timeout=3", "has a question mark"),
        ("sqlite:///what?.db", "In a path it is written %3F"),
        ("sqlite://hpo.db/x", "cannot be used"),
        ("sqlite://me:secret@host/x", "sqlite://me:***@host/x cannot be used"),
        ("sqlite+pysqlcipher://:secret@/x.db", "A file is written sqlite:///x.db"),
        ("sqlite:///x.db?key=secret", "sqlite:///x.db has a question mark"),
        ("sqlite://me:secret@host/x.db?key=secret", "has a question mark"),
        ("postgresql://host/db?password=secret", "Only SQLite is supported"),
        ("host=localhost password=secret", "That is not a database URL"),
        ("me:secret@host/db", "That is not a database URL"),
        ("sqlite+aiosqlite:///hpo.db", "A file is written sqlite:///hpo.db"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, said: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        database_path(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_url_names_a_file_here_or_anywhere() -> None:
    assert database_path("sqlite:///hpo.db") == Path("hpo.db")
    assert database_path("sqlite:////data/hpo.db") == Path("/data/hpo.db")
    assert database_path("sqlite:///a%3Fb.db") == Path("a?b.db")


@pytest.mark.parametrize(
    "name", ["with space.db", "question?.db", "hash#.db", "per%cent%20.db", "ünï λ.db", "a'b\".db"]
)
def test_a_path_may_hold_anything_else(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"folder of {name}" / name
    path.parent.mkdir()
    engine = databases.new(path)
    stage = databases.started(engine, 1)
    databases.run_one(databases.ledger_of(engine, stage))
    engine.dispose()
    assert [file.name for file in path.parent.iterdir()] == [name]
    assert [folder.name for folder in tmp_path.iterdir()] == [path.parent.name]
    assert databases.problems(path) == []
    study = optuna.load_study(study_name="s/1", storage=Storage(url_of(path), read_only=True))
    assert len(study.trials) == 1


# Files


MODES: list[Mode] = ["read", "write"]


@pytest.mark.parametrize("mode", MODES)
def test_opening_makes_no_file(mode: Mode, path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"There is no database .*hpo\.db.*hpo start"):
        open_engine(url_of(path), mode)
    assert list(path.parent.iterdir()) == []


def test_a_file_that_is_deleted_after_opening_is_not_made_again(path: Path) -> None:
    databases.new(path).dispose()
    engine = open_engine(url_of(path), "write")
    path.unlink()
    with pytest.raises(DatabaseError, match="cannot be opened"), writing(engine):
        pass
    assert not path.exists()


def test_no_folder_to_make_it_in(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"There is no folder .*/none to make hpo\.db in"):
        open_engine(url_of(tmp_path / "none/hpo.db"), "create")


@pytest.mark.parametrize("mode", [*MODES, "create"])
def test_a_folder(mode: Mode, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="is a folder, not a database file"):
        open_engine(url_of(tmp_path), mode)


@pytest.mark.parametrize("mode", [*MODES, "create"])
def test_what_is_no_file(mode: Mode, path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DatabaseError, match="is a pipe or a device"):
        open_engine(url_of(path), mode)


@pytest.mark.parametrize("mode", [*MODES, "create"])
@pytest.mark.parametrize(("name", "said"), [("x" * 300, "File name too long"), ("x%00y", "null")])
def test_a_path_that_the_system_does_not_take(mode: Mode, name: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=rf"cannot be opened \(.*{said}.*\).*hpo db status"):
        open_engine(f"sqlite:////tmp/{name}", mode)


@pytest.mark.parametrize("content", [b"", b"\n"])  # SQLite takes both for a new database
@pytest.mark.parametrize("mode", [*MODES, "create"])
def test_an_empty_file(
    mode: Mode, content: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "CREATION_S", 0.05)
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=rf"is empty \({len(content)} bytes\).*hpo db backup"):
        open_engine(url_of(path), mode)
    assert path.read_bytes() == content


USES: dict[str, Callable[[str], object]] = {
    "read": lambda url: migrations.check(open_engine(url, "read")),
    "write": lambda url: migrations.check(open_engine(url, "write")),
    "create": lambda url: migrations.prepare(open_engine(url, "create")),
    "status": maintenance.status,
    "check": check,
    "upgrade": maintenance.upgrade,
    "storage": Storage,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("content", [b"xy", b"name = 'digits'\n" * 500, b"\xde\xad" * 2048])
def test_a_file_that_is_no_database(use: str, content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"is not a readable database.*Nothing was changed"):
        USES[use](url_of(path))
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == ["hpo.db"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a database with trials in it."""
    path = tmp_path_factory.mktemp("sound") / "hpo.db"
    engine = databases.new(path)
    stage = databases.started(engine, 40)
    while databases.run_one(databases.ledger_of(engine, stage)) is not None:
        pass
    engine.dispose()
    return path.read_bytes()


def verdict(path: Path) -> str:
    """Return what `hpo db check` would print."""
    try:
        return "\n".join(databases.problems(path))
    except DatabaseError as error:
        return str(error)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_found_out(share: float, sound: bytes, path: Path) -> None:
    content = sound[: int(len(sound) * share)]
    path.write_bytes(content)
    assert "SQLite: " in verdict(path) or "is not a readable database" in verdict(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("where", [0.2, 0.5, 0.8])
def test_a_page_of_garbage_is_found_out(where: float, sound: bytes, path: Path) -> None:
    page = int(len(sound) * where) // 4096 * 4096
    path.write_bytes(sound[:page] + b"\xff" * 4096 + sound[page + 4096 :])
    assert verdict(path)


# Writing where it is not allowed


def test_a_database_opened_for_reading_refuses_to_write(path: Path) -> None:
    databases.new(path)
    engine = open_engine(url_of(path), "read")
    with (
        pytest.raises(DatabaseError, match=r"cannot be written .*permissions"),
        writing(engine) as connection,
    ):
        connection.execute(text("DELETE FROM hpo_alembic_version"))
    assert sql(path, "SELECT count(*) FROM hpo_alembic_version") == [(1,)]


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """Return a folder that everybody may read and only its owner may write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def protect(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


@pytest.mark.parametrize("mode", ["read", "write", "create"])
def test_a_file_without_permission_to_write(mode: Mode, locked_folder: Path) -> None:
    path = locked_folder / "hpo.db"
    databases.new(path).dispose()
    protect(locked_folder)
    with start_call(databases.as_nobody, path, mode) as process:
        said = process.communicate(timeout=60)[0]
    if mode == "read":
        assert said == ""
    else:
        assert "cannot be written (it is read-only)" in said
        assert "Check its permissions and its folder's: SQLite makes files beside it" in said
        assert "hpo db backup FILE" in said
    assert [file.name for file in locked_folder.iterdir()] == ["hpo.db"]


def test_a_folder_without_permission_to_write(locked_folder: Path) -> None:
    protect(locked_folder)
    path = locked_folder / "hpo.db"
    with start_call(databases.as_nobody, path, "create") as process:
        said = process.communicate(timeout=60)[0]
    assert str(path) in said
    assert "cannot be opened" in said
    assert "permissions" in said
    assert list(locked_folder.iterdir()) == []


# Several at once


@pytest.fixture
def held(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Hold the write lock of a database from another connection."""
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.05)
    engine = databases.new(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield engine


def test_a_held_lock_is_waited_for_and_then_named(held: Engine, path: Path) -> None:
    with pytest.raises(DatabaseError, match="stayed locked for 0 s by another"), writing(held):
        pass
    with pytest.raises(DatabaseError, match="stayed locked"):
        migrations.upgrade(open_engine(url_of(path), "write"))


LOCKS = ("SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "SQLITE_PROTOCOL")


@pytest.mark.parametrize("name", LOCKS)
def test_every_code_of_a_lock_is_a_lock_and_told_as_one(name: str, path: Path) -> None:
    """Most of them come from other programs' settings, or by chance: only the code is made up."""
    error = sqlite3.OperationalError("not now")
    error.sqlite_errorcode = getattr(sqlite3, name)
    with pytest.raises(DatabaseLocked, match="stayed locked"), writing(databases.new(path)):
        raise error


def test_readers_do_not_wait_for_the_writer(held: Engine, path: Path) -> None:
    assert databases.problems(path) == []
    with reading(held) as connection:
        assert connection.scalar(text("SELECT count(*) FROM hpo_studies")) == 0


def test_a_reader_sees_one_moment(path: Path) -> None:
    engine = databases.new(path)
    count = text("SELECT count(*) FROM hpo_studies")
    with reading(engine) as reader:
        assert reader.scalar(count) == 0
        databases.started(engine)
        assert reader.scalar(count) == 0
    with reading(engine) as reader:
        assert reader.scalar(count) == 1


def test_what_is_being_written_is_not_seen(path: Path) -> None:
    engine = databases.new(path)
    with writing(engine) as writer:
        writer.execute(text("UPDATE hpo_alembic_version SET version_num = 'new'"))
        with reading(engine) as reader:
            assert migrations.revision(reader) == migrations.HEAD
    with reading(engine) as reader:
        assert migrations.revision(reader) == "new"


def test_an_exception_undoes_everything(path: Path) -> None:
    engine = databases.new(path)

    def fail_halfway() -> None:
        with writing(engine) as writer:
            writer.execute(text("DELETE FROM hpo_alembic_version"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert sql(path, "SELECT count(*) FROM hpo_alembic_version") == [(1,)]


def test_a_broken_rule_of_ours_is_not_called_a_broken_file(path: Path) -> None:
    engine = databases.new(path)
    with pytest.raises(IntegrityError), writing(engine) as writer:
        writer.execute(text("INSERT INTO hpo_alembic_version SELECT * FROM hpo_alembic_version"))


def test_foreign_keys_hold(path: Path) -> None:
    engine = databases.new(path)
    with pytest.raises(IntegrityError), writing(engine) as writer:
        writer.execute(text("INSERT INTO hpo_curves VALUES (99, 1, 0, 0.0, '{}')"))


def test_the_file_is_in_wal_mode(path: Path) -> None:
    databases.new(path)
    assert sql(path, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
def test_what_a_commit_waits_for(
    durability: engines.Durability, synchronous: int, path: Path
) -> None:
    databases.new(path).dispose()
    modes: list[Mode] = ["write", "create"]
    for mode in modes:
        with reading(open_engine(url_of(path), mode, durability)) as connection:
            assert connection.scalar(text("PRAGMA synchronous")) == synchronous
            assert connection.scalar(text("PRAGMA fullfsync")) == (durability == "full")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each connection that is closed."""
    gc.collect()
    numbers: list[int] = []
    close = sqlite_file.DriverConnection.close

    def note(connection: sqlite_file.DriverConnection) -> None:
        numbers.append(id(connection))
        close(connection)

    monkeypatch.setattr(sqlite_file.DriverConnection, "close", note)
    return numbers


def test_a_forgotten_engine_closes_its_connections(path: Path, closed: list[int]) -> None:
    # From Python 3.13 on, the driver warns of each that is found open by the garbage collector.
    def use_and_forget() -> None:
        engine = databases.new(path)
        with reading(engine), writing(engine):
            pass

    use_and_forget()
    gc.collect()
    assert len(closed) == 2
    assert [file.name for file in path.parent.iterdir()] == ["hpo.db"]


@pytest.mark.parametrize("mode", [*MODES, "create"])
def test_a_connection_that_fails_is_closed(mode: Mode, path: Path, closed: list[int]) -> None:
    path.write_bytes(b"\xde\xad" * 2048)
    with pytest.raises(DatabaseError), reading(open_engine(url_of(path), mode)):
        pass
    gc.collect()
    assert len(closed) == 1


def test_a_full_disk_names_the_way_on(path: Path) -> None:
    engine = databases.new(path)

    def fill() -> None:
        with writing(engine) as writer:
            pages = writer.scalar(text("PRAGMA page_count"))
            writer.execute(text(f"PRAGMA max_page_count = {pages}"))
            writer.execute(text("CREATE TABLE t AS SELECT zeroblob(100000) AS x"))

    with pytest.raises(DatabaseError, match=r"disk is full.* whose id is in: hpo list$"):
        fill()


def test_no_value_of_a_row_is_in_an_error(path: Path) -> None:
    engine = databases.new(path)
    with pytest.raises(IntegrityError) as caught, writing(engine) as writer:
        writer.execute(
            text("INSERT INTO hpo_curves VALUES (:a, 1, 0, 0.0, :b)"), {"a": 99, "b": "secret"}
        )
    assert "secret" not in str(caught.value)


def test_ctrl_c_is_heard_where_sqlalchemy_closes_its_connection(path: Path) -> None:
    engine = databases.new(path)

    def interrupted() -> None:
        with writing(engine) as writer:
            writer.invalidate()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert databases.problems(path) == []
