"""A process is killed at every place of every operation of the ledger.

SQLite tests itself so (https://www.sqlite.org/testing.html, section 3.3): the operation is done
again and again, and ends before its first statement, before its second, ... until it survives;
then in its commit, after some bytes, after some more, ... until it survives. Whatever is found
afterwards must be the state before or the state after, and the next one must be able to go on.
"""

from __future__ import annotations

import itertools
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import alembic.command
import alembic.config
import databases
import ledger_children as children
import pytest
from databases import problems, url_of
from ledger_children import ask, told
from processes import Child, start_call

from hpo.errors import DatabaseError
from hpo.store import engine as engines
from hpo.store import maintenance, migrations
from hpo.store.engine import open_engine, writing

Operation = Callable[[Path], Callable[[], object]]
State = Callable[[Path, Child], None]

BUDGET = 3
FRAME = 4096 + 24
"""Bytes that a changed page adds to the WAL file (https://www.sqlite.org/fileformat.html#walformat)."""

ONE_PAGE = (children.begin_use, children.record_result)
"""Operations that change so little that only a small step meets their commit."""

VOLATILE = {
    *("uuid", "owner", "lease", "created_at", "begun_at", "finished_at", "ended_at"),
    *("datetime_start", "datetime_complete"),
}
"""Columns that differ from run to run; whether they are set does not."""


@pytest.fixture(scope="module")
def mother() -> Iterator[Child]:
    """A process that has imported everything; what is to be killed is forked from it."""
    with start_call(children.serve) as child:
        yield child


# The state in which an operation finds the database


def nothing(path: Path, mother: Child) -> None:
    """There is no file."""


def empty(path: Path, mother: Child) -> None:
    databases.new(path).dispose()


def open_stage(path: Path, mother: Child) -> None:
    engine = databases.new(path)
    databases.started(engine, BUDGET)
    engine.dispose()


def given_back(path: Path, mother: Child) -> None:
    open_stage(path, mother)
    ask(mother, children.die, "release", path)
    assert told(mother) == 0
    assert databases.slots_of(path) == [(0, "open", 1), (1, "open", 0), (2, "open", 0)]


def owner_dead(path: Path, mother: Child) -> None:
    open_stage(path, mother)
    ask(mother, children.die, "beat", path)
    assert told(mother) == 0
    assert databases.slots_of(path) == [(0, "running", 1), (1, "open", 0), (2, "open", 0)]


def finished(path: Path, mother: Child) -> None:
    open_stage(path, mother)
    ledger = children.stage_of(path, 1)[1]
    while databases.run_one(ledger):
        pass


def copied_too_early(path: Path, mother: Child) -> None:
    """The dashboard's "rename" copied the study before the first trial was finished."""
    open_stage(path, mother)
    databases.run_one(children.stage_of(path, 1)[1])
    databases.sql(path, "UPDATE trials SET state = 'RUNNING', datetime_complete = NULL")
    databases.sql(path, "DELETE FROM trial_values")


def old(path: Path, mother: Child) -> None:
    """The tables of revision 0001, with a slot that runs and one that was tried before."""
    given_back(path, mother)
    ask(mother, children.die, "beat", path)
    assert told(mother) == 0
    engine = open_engine(url_of(path), "write")
    config = alembic.config.Config()
    config.set_main_option("script_location", str(migrations.script_location()))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "0001")
    engine.dispose()
    assert databases.slots_of(path)[0] == (0, "running", 2)


# What must be true after a death


def contents(path: Path) -> dict[str, Any]:
    """Return all tables and their rows, without what differs from run to run."""
    if not path.exists():
        return {}
    with closing(databases.sqlite3.connect(path)) as connection:
        connection.row_factory = databases.sqlite3.Row
        made = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        found: dict[str, Any] = {name: sql for name, sql in made}
        for name in [name for name, sql in made if (sql or "").startswith("CREATE TABLE")]:
            rows = [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
            found[name] = [
                {
                    key: value is not None if volatile(key, row) else value
                    for key, value in row.items()
                }
                for row in rows
            ]
    return found


def volatile(column: str, row: dict[str, Any]) -> bool:
    return column in VOLATILE or (column == "value_json" and row["key"] == "hpo_stage")


def go_on(path: Path) -> None:
    """Do what a person does next, who reads what is said; then finish the study."""
    try:
        engine = databases.new(path)
    except DatabaseError as error:
        if "hpo db upgrade" in str(error):
            maintenance.upgrade(url_of(path))
        elif "is empty (0 bytes)" in str(error) and "remove the file" in str(error):
            for name in path.parent.glob(f"{path.name}*"):
                if str(name) in str(error):
                    name.unlink()
        else:
            raise
        engine = databases.new(path)
    if not databases.slots_of(path):
        databases.started(engine, BUDGET)
    stage = databases.the_stage(engine)
    ledger = databases.ledger_of(engine, stage)
    while databases.run_one(ledger):
        pass
    counted = [state for _, state, _ in databases.slots_of(path)]
    assert len(counted) == stage.budget
    assert set(counted) <= {"complete", "failed"}
    assert problems(path) == []
    engine.dispose()


class Deaths:
    """Does an operation, always on the same database, in processes that die.

    Args:
        mother: The process to fork from.
        operation: One of `ledger_children`.
        state: Makes the database.
        folder: Where it is made.
    """

    def __init__(self, mother: Child, operation: Operation, state: State, folder: Path) -> None:
        self._mother, self._operation, self._folder = mother, operation.__name__, folder
        self._template = folder / "template.db"
        state(self._template, mother)
        self._problems_before = problems_if_usable(self._template)
        self._seen: dict[tuple[bytes, ...], dict[str, Any]] = {}

    def die(self, statement: int | str, byte: int = 0) -> tuple[int, dict[str, Any]]:
        """Return how the process ended and what it left; then make sure that others can go on."""
        with TemporaryDirectory(dir=self._folder) as folder:
            path = Path(folder, "hpo.db")
            for original, file in zip(files(self._template), files(path), strict=True):
                if original.exists():
                    shutil.copy(original, file)
            ask(self._mother, children.die, self._operation, path, statement, byte)
            ended = told(self._mother)
            left = tuple(file.read_bytes() for file in files(path) if file.exists())
            if left not in self._seen:  # the same bytes have the same future
                self._seen[left] = contents(path)
                assert problems_if_usable(path) in ([], self._problems_before)
                go_on(path)
            return ended, self._seen[left]


def files(path: Path) -> list[Path]:
    """Return the files that SQLite keeps for a database, without the index of the WAL."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-journal")]


def problems_if_usable(path: Path) -> list[str]:
    """Return what is wrong with a database, unless it must be made or upgraded first."""
    usable = migrations.VERSION_TABLE in contents(path)
    if not usable or contents(path)[migrations.VERSION_TABLE] != [{"version_num": migrations.HEAD}]:
        return []
    return problems(path)


def variant(*case: object) -> object:
    """Leave an operation to `make soak`: it writes as another one does."""
    return pytest.param(*case, marks=pytest.mark.soak)


@pytest.mark.parametrize(
    ("operation", "state", "statements"),
    [
        variant(children.make, nothing, 40),
        (children.create_study, empty, 15),
        variant(children.raise_budget, finished, 10),
        (children.claim, open_stage, 10),
        variant(children.claim, given_back, 12),
        (children.claim, owner_dead, 15),
        variant(children.claim, copied_too_early, 15),
        (children.beat, open_stage, 7),
        (children.finish, open_stage, 10),
        (children.finish_last, open_stage, 9),
        (children.lose, open_stage, 5),
        variant(children.give_up, open_stage, 7),
        variant(children.release, open_stage, 4),
        (children.upgrade, old, 13),
        variant(children.begin_use, finished, 6),
        (children.record_result, finished, 6),
    ],
)
def test_a_death_leaves_all_or_nothing(
    operation: Operation,
    state: State,
    statements: int,
    mother: Child,
    soak: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "CREATION_S", 0.05)
    deaths = Deaths(mother, operation, state, tmp_path)
    found, survived = [], False
    while not survived:
        ended, left = deaths.die(len(found) + 1)
        assert ended in (0, -signal.SIGKILL)
        found.append(left)
        survived = ended == 0
    before, after = found[0], found[-1]
    assert before != after
    assert found == [before] * (len(found) - 1) + [after], "some of it was there too early"
    assert len(found) > statements, "fewer places to die: look whether this test still bites"

    torn = 0
    finely = soak or operation in ONE_PAGE
    for byte in itertools.count(1, 512 if finely else 2 * FRAME + 500):
        ended, left = deaths.die("COMMIT", byte)
        if ended == 0:
            break
        assert ended == -signal.SIGXFSZ
        assert left == before, f"{byte} bytes of the commit were enough"
        torn += 1
    assert left == after
    assert torn >= 2


def test_a_death_while_a_new_file_gets_its_journal(
    mother: Child, soak: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one write that has no WAL yet: a torn first page, or a torn index of the WAL."""
    monkeypatch.setattr(engines, "CREATION_S", 0.05)
    deaths = Deaths(mother, children.make, nothing, tmp_path)
    torn = 0
    for byte in itertools.count(0, 500) if soak else (8**power for power in itertools.count()):
        ended, left = deaths.die("PRAGMA journal_mode = WAL", byte)
        if ended == 0:
            break
        assert ended == -signal.SIGXFSZ
        assert left == {}
        torn += 1
    assert torn >= 4
