"""Where nothing may be written, everything can be read, and a write is refused at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import databases
import pytest
from commands import done
from databases import url_of
from objectives.files import place
from processes import Child, start_python

READS = {
    "list": ("list",),
    "show": ("show", "1"),
    "best": ("best", "1"),
    "report": ("report", "1"),
    "check": ("db", "check"),
    "status": ("db", "status"),
}
WRITES = {
    "resume": ("resume", "1"),
    "narrow": ("narrow", "1"),
    "start": ("start", "my.toml", "--workers", "1"),
    "upgrade": ("db", "upgrade"),
}

# Permissions do not stop root, unless it gives these two up: capabilities(7).
AS_GUEST = """
import ctypes, os, sys
if os.geteuid() == 0:
    PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
COMMANDS = """
import json, sys, time
from commands import run
answers = []
for command in json.loads(sys.argv[1]):
    began = time.monotonic()
    result = run(*command)
    seconds = time.monotonic() - began
    answers.append((result.exit_code, result.stdout, result.stderr, seconds))
print(json.dumps(answers))
"""
READER = """
import sys
from sqlalchemy import text
from hpo.errors import DatabaseError
from hpo.store.engine import open_engine, reading
from processes import ready
engine = open_engine(sys.argv[1], "read")
count = text("SELECT count(*) FROM trials WHERE state = 'COMPLETE'")
for _ in range(2):
    with reading(engine) as connection:
        print(connection.scalar(count), flush=True)
    ready()
try:
    with reading(engine) as connection:
        print(connection.scalar(count), flush=True)
        ready()
except DatabaseError as error:
    print(error, flush=True)
with engine.connect() as kept, reading(kept) as connection:
    print(connection.scalar(count), flush=True)
"""
WRITE_AND_DIE = """
import os, sys
from pathlib import Path
import databases
engine = databases.new(Path(sys.argv[1]))
ledger = databases.ledger_of(engine, databases.the_stage(engine))
databases.run_one(ledger)
os._exit(9)
"""


@dataclass(frozen=True)
class Answer:
    exit_code: int
    stdout: str
    stderr: str
    seconds: float


def start_as_guest(code: str, *arguments: str) -> Child:
    python = (sys.executable, "-P", "-W", "error", "-c", code)
    return start_python(AS_GUEST, *python, *arguments)


def guest(*commands: tuple[str, ...], storage: Path) -> list[Answer]:
    """Run commands as somebody whom permissions stop."""
    full = [[*command, "--storage", url_of(storage)] for command in commands]
    with start_as_guest(COMMANDS, json.dumps(full)) as process:
        return [Answer(*answer) for answer in json.loads(process.answer())]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a database of 6 slots, 3 of them run, alone in its folder."""
    monkeypatch.chdir(tmp_path)
    place(tmp_path, search={"trials": 1})
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = folder / "hpo.db"
    engine = databases.new(path)
    ledger = databases.ledger_of(engine, databases.started(engine, 6))
    for _ in range(3):
        databases.run_one(ledger)
    ledger.close()
    engine.dispose()
    yield path
    folder.chmod(0o755)


@contextmanager
def protected(path: Path, *, files: bool = True) -> Iterator[None]:
    """Forbid to write into the folder, and its files; nothing is changed or added meanwhile."""
    for file in path.parent.iterdir():
        file.chmod(0o444 if files else 0o644)
    path.parent.chmod(0o555)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    yield
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    path.parent.chmod(0o755)
    for file in path.parent.iterdir():
        file.chmod(0o644)


def beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def leave_a_log(path: Path) -> None:
    """Run one more slot in a process that dies: its result is in the log only."""
    with start_python(WRITE_AND_DIE, str(path)) as process:
        assert process.wait(60) == 9
    assert beside(path, "-wal").stat().st_size > 0


def read_once(path: Path) -> None:
    """Leave the two files that a reader leaves: an empty log and its index."""
    assert databases.problems(path) == []
    assert beside(path, "-wal").stat().st_size == 0


def only_log(path: Path) -> None:
    read_once(path)
    beside(path, "-shm").unlink()


def only_index(path: Path) -> None:
    read_once(path)
    beside(path, "-wal").unlink()


def old_journal(path: Path) -> None:
    databases.sql(path, "PRAGMA journal_mode = DELETE")


# What lies beside the database, and how many results there are then.
LAYOUTS = {
    "nothing beside it": (lambda path: None, 3),
    "an empty log and its index": (read_once, 3),
    "an empty log": (only_log, 3),
    "an index": (only_index, 3),
    "a log and its index": (leave_a_log, 4),
    "no WAL": (old_journal, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_everything_can_be_read_and_copied(layout: str, path: Path, tmp_path: Path) -> None:
    arrange, results = LAYOUTS[layout]
    arrange(path)
    copy = tmp_path / "copy.db"
    with protected(path):
        answers = guest(*READS.values(), ("db", "backup", str(copy)), storage=path)
    # What a reader leaves beside the file must not be what made it work.
    said = {name: done(*command, "--storage", url_of(path)) for name, command in READS.items()}
    for name, answer in zip(READS, answers, strict=False):
        assert answer.exit_code == 0, (name, answer)
        assert answer.stdout == said[name].stdout
    assert answers[-1].exit_code == 0, answers[-1]
    assert len(databases.sql(copy, "SELECT * FROM trials WHERE state = 'COMPLETE'")) == results
    assert databases.problems(copy) == []


@pytest.mark.parametrize(
    ("layout", "files"),
    [("nothing beside it", True), ("nothing beside it", False), ("a log and its index", True)],
)
def test_a_write_is_refused_at_once(layout: str, files: bool, path: Path) -> None:
    LAYOUTS[layout][0](path)
    with protected(path, files=files):
        answers = guest(*WRITES.values(), storage=path)
    for name, answer in zip(WRITES, answers, strict=True):
        assert answer.exit_code == 3, (name, answer)
        assert answer.stdout == ""
        assert "cannot be written" in answer.stderr or "cannot be opened" in answer.stderr
        assert "Check its permissions and its folder's" in answer.stderr
        assert "Traceback" not in answer.stderr
        assert "hpo db " in answer.stderr
        assert answer.seconds < 10, "it waited, for what will never come"
    assert databases.problems(path) == []


def test_what_waits_in_a_log_is_not_ignored(path: Path) -> None:
    leave_a_log(path)
    beside(path, "-shm").unlink()
    with protected(path):
        answers = guest(*READS.values(), storage=path)
    for answer in answers:
        assert answer.exit_code == 3
        assert "hpo.db-wal holds changes that are not in it yet" in answer.stderr
        assert "hpo db upgrade --storage" in answer.stderr
    done("db", "upgrade", "--storage", url_of(path))
    with protected(path):
        (answer,) = guest(READS["check"], storage=path)
    assert answer.exit_code == 0
    assert len(databases.sql(path, "SELECT * FROM trials WHERE state = 'COMPLETE'")) == 4


def test_what_another_program_left_half_changed_is_not_read(path: Path) -> None:
    old_journal(path)
    die = """
import os, sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("PRAGMA cache_size = 1")
other.execute("BEGIN")
other.execute("DELETE FROM trials")
other.execute("CREATE TABLE big AS SELECT zeroblob(1000000) AS x")
os._exit(9)
"""
    with start_python(die, str(path)) as process:
        assert process.wait(60) == 9
    assert beside(path, "-journal").stat().st_size > 0
    with protected(path):
        (answer,) = guest(READS["list"], storage=path)
    assert answer.exit_code == 3
    assert "in the middle of a change" in answer.stderr
    assert "hpo db upgrade" in answer.stderr
    done("db", "upgrade", "--storage", url_of(path))
    assert databases.problems(path) == []
    assert len(databases.sql(path, "SELECT * FROM trials")) == 3


def test_a_study_that_runs_is_read_as_it_is(path: Path) -> None:
    engine = databases.new(path)
    ledger = databases.ledger_of(engine, databases.the_stage(engine))
    databases.run_one(ledger)
    with protected(path):
        check, status = guest(READS["check"], READS["status"], storage=path)
    assert check.exit_code == 0
    assert "trials            4" in status.stdout
    engine.dispose()


def test_a_reader_notices_that_somebody_writes_after_all(path: Path) -> None:
    def write() -> None:
        path.parent.chmod(0o755)
        engine = databases.new(path)
        databases.run_one(databases.ledger_of(engine, databases.the_stage(engine)))
        engine.dispose()
        path.parent.chmod(0o555)

    path.parent.chmod(0o555)
    with start_as_guest(READER, url_of(path)) as reader:
        assert reader.stdout is not None
        said = []
        for _ in range(3):
            said.append(reader.stdout.readline())
            reader.until_ready()
            write()
            reader.let_go()
        said += reader.answer().splitlines(keepends=True)
    assert said[:3] == ["3\n", "4\n", "5\n"]
    assert "was changed by another program while it was read without locks" in said[3]
    assert said[4:] == ["6\n"]


def test_a_file_that_may_not_be_read(path: Path) -> None:
    path.chmod(0)
    (answer,) = guest(READS["list"], storage=path)
    assert answer.exit_code == 3
    assert "cannot be opened" in answer.stderr
    path.parent.chmod(0)
    (answer,) = guest(READS["list"], storage=path)
    path.parent.chmod(0o755)
    assert answer.exit_code == 3
    assert "cannot be opened (Permission denied)" in answer.stderr
    assert os.stat(path).st_size > 0
