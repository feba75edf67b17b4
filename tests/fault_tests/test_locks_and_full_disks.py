"""Other programs that hold the database, and disks that take no more: nothing is lost."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import databases
import pytest
from commands import done, run
from databases import sql, url_of
from objectives.files import place
from processes import run_hpo, start_hpo, start_python

import hpo
from hpo.errors import DatabaseLocked
from hpo.store import engine as engines
from hpo.trial import Trial
from hpo.watcher import Watcher

HELD_S = 1.5

# Says each time that it is about to write, before it asks for the lock.
TELLING = """
import sys
from sqlalchemy import Engine, event
from hpo.store import engine as engines

begin = engines._begin
def tell(connection):
    if not connection.get_execution_options().get(engines._READING):
        print("writes", flush=True)
    begin(connection)
engines._begin = tell

from hpo.cli import main
sys.argv = ["hpo", *sys.argv[1:]]
main()
"""
# A disk on which a database can grow by so many pages; or on which no file, so neither its log, can
# grow beyond so many bytes (Python ignores the signal for it, so the write fails).
FULL_DISKS = {
    "no pages": """
import sys
from sqlalchemy import Engine, event

more = int(sys.argv.pop(1))

@event.listens_for(Engine, "connect")
def limit(driver, record):
    (pages,) = driver.execute("PRAGMA page_count").fetchone()
    driver.execute(f"PRAGMA max_page_count = {max(pages, 50) + more}")

from hpo.cli import main
main()
""",
    "no bytes": """
import os, resource, sys

more = int(sys.argv.pop(1))
size = os.path.getsize("hpo.db") if os.path.exists("hpo.db") else 0
limit = (max(size, 50 * 4096) + more * 4096, resource.RLIM_INFINITY)
resource.setrlimit(resource.RLIMIT_FSIZE, limit)

from hpo.cli import main
main()
""",
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hpo.db"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Return another program's connection to a database with a study of 3 trials."""
    engine = databases.new(path)
    ledger = databases.ledger_of(engine, databases.started(engine, 3))
    while databases.run_one(ledger) is not None:
        pass
    engine.dispose()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


# Locks


def test_a_lock_is_waited_for(path: Path, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    with start_python(TELLING, "resume", "1", "--storage", url_of(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writes\n"
        time.sleep(HELD_S)  # the fault: it is held for so long
        assert process.poll() is None
        other.execute("COMMIT")
        process.answer()
    assert databases.problems(path) == []


@pytest.mark.parametrize("command", [("resume", 1), ("start", "my.toml")])
def test_a_lock_that_is_never_given_up(
    command: tuple[object, ...],
    path: Path,
    other: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place(path.parent, search={"trials": 1})
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.2)
    other.execute("BEGIN IMMEDIATE")
    before = path.read_bytes()
    result = run(*command, "--storage", url_of(path))
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "hpo.db stayed locked for 0 s by another program" in result.stderr
    assert "run the command again" in result.stderr
    for reads in (("list",), ("show", 1), ("db", "status"), ("db", "check")):
        done(*reads, "--storage", url_of(path))
    other.execute("ROLLBACK")
    assert path.read_bytes() == before
    assert databases.problems(path) == []


def test_a_program_that_keeps_the_whole_file_to_itself(
    path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.2)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    for command in (("list",), ("show", 1), ("resume", 1), ("db", "status"), ("db", "check")):
        result = run(*command, "--storage", url_of(path))
        assert result.exit_code == 3, (command, result.output)
        assert "stayed locked" in result.stderr
    other.execute("ROLLBACK")
    other.close()
    assert databases.problems(path) == []


def test_a_lock_in_the_middle_of_a_run_names_what_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = place(path.parent, search={"trials": 3})
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.2)
    with ExitStack() as stack:

        class Locking(Watcher):
            """Locks the database when the first trial has ended."""

            def trial_ended(self, trial: Trial) -> None:
                other = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
                other.execute("BEGIN IMMEDIATE")

        with pytest.raises(DatabaseLocked, match="Close it, then: hpo resume 1"):
            hpo.start(definition, storage=url_of(path), workers=1, watcher=Locking())
    hpo.resume(1, storage=url_of(path))
    assert {row[1] for row in databases.slots_of(path)} == {"complete"}


def test_a_study_survives_a_program_that_locks_again_and_again(path: Path, soak: bool) -> None:
    trials = 200 if soak else 12
    place(path.parent, fixed={"epochs": 4, "pause": 0.05}, search={"trials": trials})
    locked = 0
    with start_hpo("start", "my.toml", "--workers", 2, "--storage", url_of(path)) as process:
        process.until(lambda: path.exists() and sql(path, "PRAGMA table_list(hpo_slots)"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            while process.poll() is None:
                other.execute("BEGIN IMMEDIATE")
                locked += process.poll() is None
                time.sleep(0.2)  # the fault: a trial takes as long
                other.execute("COMMIT")
                time.sleep(0.01)  # others get their turn
        errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert locked >= 5
    assert {row[1:] for row in databases.slots_of(path)} == {("complete", 1)}
    assert len(databases.slots_of(path)) == trials
    assert databases.problems(path) == []


# Full disks


@pytest.mark.parametrize("kind", FULL_DISKS)
def test_a_study_goes_on_when_there_is_space_again(
    kind: str, path: Path, soak: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    trials, cycles = (300, 20) if soak else (60, 3)
    place(path.parent, fixed={"epochs": 60}, search={"trials": trials})
    start: tuple[str, ...] = ("start", "my.toml", "--workers", "2")
    resume = ("resume", "1", "--workers", "2")
    kept: set[tuple[object, ...]] = set()
    for cycle in range(cycles):
        command = resume if cycle else start
        with start_python(FULL_DISKS[kind], "20", *command, "--storage", url_of(path)) as process:
            printed = process.communicate(timeout=60)[0]
        assert process.returncode == 3, "the disk was not full"
        errors = capfd.readouterr().err
        assert re.search(r"Error: The disk (is full|failed)\b.*hpo list --storage ", errors)
        assert "Traceback" not in errors
        assert printed == ""
        assert databases.problems(path) == []
        slots = databases.slots_of(path, "slot, state, attempt, seed, seconds")
        assert kept <= set(slots), "a result was lost"
        kept = {row for row in slots if row[1] == "complete"}
    assert 0 < len(kept) < trials
    finished = run_hpo("resume", 1, "--workers", 2, "--storage", url_of(path))
    assert finished.returncode == 0, finished.stderr
    slots = databases.slots_of(path, "slot, state, attempt, seed, seconds")
    assert kept <= set(slots)
    assert {row[1] for row in slots} == {"complete"}
    assert databases.problems(path) == []


@pytest.mark.parametrize("kind", FULL_DISKS)
def test_a_study_that_cannot_even_begin(
    kind: str, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place(path.parent, search={"trials": 1})
    command = ("start", "my.toml", "--workers", "1", "--storage", url_of(path))
    with start_python(FULL_DISKS[kind], "-40", *command) as process:
        process.wait(60)
    assert process.returncode == 3
    assert "Error: The disk" in capfd.readouterr().err
    assert run_hpo(*command).returncode == 0
    assert databases.problems(path) == []
