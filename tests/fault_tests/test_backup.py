"""`hpo db backup`: a whole copy at any moment, or none."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import databases
import pytest
from commands import done, run
from databases import problems, sql, url_of
from objectives.files import place
from processes import run_hpo, start_call, start_hpo, start_python

import hpo
from hpo.store import maintenance
from hpo.store.engine import opened, reading

COUNTED = "SELECT slot FROM hpo_slots WHERE state IN ('complete', 'pruned', 'failed')"
FINISHED = "SELECT number FROM trials WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database of 200 kB: a study of 300 slots, ten of them run."""
    path = tmp_path / "hpo.db"
    engine = databases.new(path)
    stage = databases.started(engine, 300)
    ledger = databases.ledger_of(engine, stage)
    for _ in range(10):
        databases.run_one(ledger)
    engine.dispose()
    return path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


# While others write


def test_copies_beside_four_writers_are_consistent(tmp_path: Path, soak: bool) -> None:
    path = tmp_path / "busy.db"
    engine = databases.new(path)
    databases.started(engine, 30_000 if soak else 10_000)
    engine.dispose()
    counts = []
    with ExitStack() as stack:
        call = databases.write_for_ever
        writers = [stack.enter_context(start_call(call, path)) for _ in range(4)]
        for writer in writers:
            writer.until_ready()
        for writer in writers:
            writer.let_go()
        for i in range(20 if soak else 5):
            copy = maintenance.backup(url_of(path), tmp_path / f"copy{i}.db")
            assert problems(copy) == []
            counted = sql(copy, COUNTED)
            assert sorted(counted) == sorted(sql(copy, FINISHED))
            counts.append(len(counted))
        assert [writer.poll() for writer in writers] == [None] * 4, "they ended too early"
    assert sorted(set(counts)) == counts, "nothing was written between the copies"
    assert problems(path) == []


def test_a_copy_made_in_the_middle_of_a_run_is_resumed_to_the_exact_budget(
    tmp_path: Path, soak: bool
) -> None:
    home, budget = tmp_path / "home", 24
    home.mkdir()
    definition = place(home, "hill", search={"trials": budget}, fixed={"pause": 0.1})
    database = home / "hpo.db"
    copies: list[Path] = []
    with start_hpo("start", definition, "--workers", 4, folder=home) as study:
        for least in (1, 8, 16):
            study.until(lambda least=least: database.exists() and counted(database) >= least)
            copies.append(tmp_path / f"after-{least}" / "hpo.db")
            copies[-1].parent.mkdir()
            done("db", "backup", copies[-1], "--storage", url_of(database))
        assert study.poll() is None, "the run ended before the last copy"
        study.answer()
    assert counted(database) == budget
    for copy in copies if soak else copies[1:2]:
        left = counted(copy)
        assert 0 < left < budget
        assert problems(copy) == []
        ended = run_hpo("resume", 1, folder=copy.parent)
        assert ended.returncode == 0, ended.stderr
        assert counted(copy) == budget
        assert problems(copy) == []
        of_copy, original = (hpo.curves(1, storage=url_of(p)) for p in (copy, database))
        columns = ["trial", "step", "score", "half"]
        assert of_copy[columns].equals(original[columns])


def counted(path: Path) -> int:
    try:
        return len(sql(path, COUNTED))
    except sqlite3.OperationalError:
        return 0  # it is being made


# The file


def test_a_copy_is_one_file_that_needs_no_other(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        with other:
            other.execute("UPDATE hpo_slots SET reason = 'error' WHERE slot = 299")
        assert path.with_name("hpo.db-wal").stat().st_size > 0
        (tmp_path / "away").mkdir()
        copy = maintenance.backup(url_of(path), tmp_path / "away/copy.db")
        assert beside(copy) == ["copy.db"]
        assert sql(copy, "PRAGMA journal_mode") == [("delete",)]
        assert dump(copy) == dump(path)
    assert problems(copy) == []
    assert beside(copy) == ["copy.db"]


def test_a_copy_of_a_copy(path: Path, tmp_path: Path) -> None:
    first = maintenance.backup(url_of(path), tmp_path / "first.db")
    second = maintenance.backup(url_of(first), tmp_path / "second.db")
    assert dump(second) == dump(first) == dump(path)
    assert problems(second) == []
    engine = databases.new(second)
    databases.run_one(databases.ledger_of(engine, databases.the_stage(engine)))
    assert dump(first) == dump(path)


# What cannot be done is said, and leaves nothing


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("precious", "precious exists already. Name another file."),
        ("hpo.db", "hpo.db exists already. Name another file."),
        ("link", "link exists already. Name another file."),
        ("folder", "folder exists already. Name another file."),
        ("none/copy.db", "There is no folder "),
        ("x" * 256, "File name too long"),
        ("gone.db", "gone.db-wal holds changes of another database gone.db"),
    ],
)
def test_a_target_that_cannot_be_one(target: str, sentence: str, path: Path) -> None:
    path.with_name("precious").write_text("words")
    path.with_name("link").symlink_to(path)
    path.with_name("folder").mkdir()
    path.with_name("gone.db-wal").write_text("changes")
    before, files = dump(path), beside(path)
    result = run("db", "backup", path.parent / target, "--storage", url_of(path))
    assert result.exit_code == 3
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert beside(path) == files
    assert path.with_name("precious").read_text() == "words"
    assert dump(path) == before


LIMITED = """
import resource, signal, sys
from pathlib import Path
from hpo.errors import DatabaseError
from hpo.store import maintenance

source, target, action, size = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.Handlers[action])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
try:
    maintenance.backup(source, Path(target))
except DatabaseError as error:
    print(error)
"""
"""No file can grow beyond the size: a write there is refused, or ends the process."""


@pytest.fixture
def read_elsewhere(path: Path) -> Iterator[None]:
    """Somebody reads the database: SQLite's files beside it are there already."""
    with opened(url_of(path), "read") as engine, reading(engine) as connection:
        connection.exec_driver_sql("SELECT count(*) FROM hpo_studies")
        yield


@pytest.mark.usefixtures("read_elsewhere")
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_disk_that_takes_only_a_part(share: float, path: Path, tmp_path: Path) -> None:
    whole = maintenance.backup(url_of(path), tmp_path / "whole.db").stat().st_size
    files, target = beside(path), tmp_path / "copy.db"
    size = str(int(share * whole))
    with start_python(LIMITED, url_of(path), str(target), "SIG_IGN", size) as process:
        said = process.answer()
    assert said.startswith(f"{target} cannot be written: ")
    assert said.count("\n") == 1
    assert beside(path) == files
    assert problems(path) == []


@pytest.mark.usefixtures("read_elsewhere")
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_death_in_the_middle_leaves_what_nobody_takes_for_a_copy(
    share: float, path: Path, tmp_path: Path
) -> None:
    whole = maintenance.backup(url_of(path), tmp_path / "whole.db").stat().st_size
    files, target = beside(path), tmp_path / "copy.db"
    size = str(int(share * whole))
    with start_python(LIMITED, url_of(path), str(target), "SIG_DFL", size) as process:
        assert process.wait(timeout=60) == -signal.SIGXFSZ
        left = set(beside(path)) - set(files)
    assert len(left) == 1, "there is nothing left of the copy: was it begun?"
    assert re.fullmatch(r"hpo-backup-\w+\.part", left.pop())
    maintenance.backup(url_of(path), target)  # nothing is in the way of the next one
    assert problems(target) == problems(path) == []
    assert dump(target) == dump(path)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Return a folder that others may look into, not only its owner."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


AS_NOBODY = """
import os, sys
from pathlib import Path
from hpo.errors import DatabaseError
from hpo.store import maintenance

if os.geteuid() == 0:
    os.setuid(65534)  # permissions do not stop root
try:
    print(maintenance.backup(sys.argv[1], Path(sys.argv[2])))
except DatabaseError as error:
    print(error)
"""


def test_folders_that_are_not_ours(path: Path, shared_folder: Path) -> None:
    """A database that can only be read is copied; where nothing can be written, nothing is."""
    theirs, ours = shared_folder / "theirs", shared_folder / "ours"
    theirs.mkdir()
    ours.mkdir()
    ours.chmod(0o777)
    source = maintenance.backup(url_of(path), theirs / "hpo.db")
    source.chmod(0o444)
    theirs.chmod(0o555)
    with start_python(AS_NOBODY, url_of(source), str(ours / "copy.db")) as process:
        assert process.answer() == f"{ours / 'copy.db'}\n"
    assert dump(ours / "copy.db") == dump(path)
    with start_python(AS_NOBODY, url_of(source), str(theirs / "copy.db")) as process:
        assert process.answer().startswith(f"{theirs / 'copy.db'} cannot be written: Permission")
    assert os.listdir(theirs) == ["hpo.db"]
    assert os.listdir(ours) == ["copy.db"]


# A file of the same name that appears meanwhile


LATE = """
import sys
from pathlib import Path
from hpo.errors import DatabaseError
from hpo.store import maintenance

source, target = sys.argv[1:]

def appear(event, arguments):
    if event == "sqlite3.connect" and str(arguments[0]).endswith("part"):
        Path(target).write_text("words")

sys.addaudithook(appear)
try:
    maintenance.backup(source, Path(target))
except DatabaseError as error:
    print(error)
"""
"""The target is made by another while the copy is written."""

WITHOUT_LINKS = """
import errno, os

def link(*_):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # as FAT does

os.link = link
"""


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(links: bool, path: Path) -> None:
    target = path.with_name("copy.db")
    script = LATE if links else WITHOUT_LINKS + LATE
    with start_python(script, url_of(path), str(target)) as process:
        assert process.answer() == f"{target} exists already. Name another file.\n"
    assert target.read_text() == "words"
    assert not list(path.parent.glob("*.part"))


def test_a_copy_where_there_are_no_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    copy = maintenance.backup(url_of(path), path.with_name("copy.db"))
    assert dump(copy) == dump(path)
    assert problems(copy) == []
