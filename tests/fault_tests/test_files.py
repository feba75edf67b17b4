"""Files that are no sound database of ours: each has its sentence, and none of them is changed."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shlex
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import databases
import pytest
from click.testing import Result
from commands import run
from databases import LOST, sql, url_of
from objectives.files import place
from processes import start_python

from hpo.store import engine as engines
from hpo.store.attempt import Outcome

PAGE = 4096
BURST = 64
NEXT_COMMAND = re.compile(
    r"\bhpo (start|resume|list|db (status|check|backup|upgrade))\b"
    r"|\b(pip install|optuna storage upgrade|mkdir|mv) |--storage\b"
)

READS = {
    "list": ("list",),
    "show": ("show", 1),
    "best": ("best", 1),
    "report": ("report", 1),
    "db status": ("db", "status"),
    "db check": ("db", "check"),
}
WRITES = {
    "resume": ("resume", 1),
    "narrow": ("narrow", 1),
    "start": ("start", "my.toml", "--workers", 1),
}
COMMANDS: Mapping[str, tuple[object, ...]] = {**READS, **WRITES}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a database whose pages are mostly full: 60 trials with curves."""
    path = tmp_path_factory.mktemp("sound") / "hpo.db"
    engine = databases.new(path)
    stage = databases.started(engine, 60)
    ledger = databases.ledger_of(engine, stage)
    scores = random.Random(0)
    while (claim := databases.take(ledger)) is not None:
        if claim.slot % 7 == 3 and claim.attempt == 1:
            ledger.lose(claim, 3, LOST)
            continue
        outcome = Outcome("complete", scores.random(), scores.random())
        if claim.slot % 9 == 5:
            outcome = Outcome("failed", None, 1.0, reason="error", error="ValueError: no\n" * 9)
        ledger.finish(claim, outcome, databases.steps(*(scores.random() for _ in range(20))))
    ledger.close()
    engine.dispose()
    assert databases.problems(path) == []
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the database is to be, in a folder with a definition."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engines, "CREATION_S", 0.05)
    place(tmp_path, search={"trials": 1})
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "hpo.db"


def told(result: Result) -> str:
    """Return the one sentence of a command that could not use its database."""
    assert result.exit_code == 3, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    sentence = result.stderr.strip()
    assert sentence.startswith("Error: ")
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert NEXT_COMMAND.search(sentence), sentence
    return sentence


def content(folder: Path) -> dict[str, str | None]:
    """Return the hash of every file; what SQLite makes beside one to read it does not count."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
        for file in folder.iterdir()
        if not file.name.endswith(("-wal", "-shm")) or file.stat().st_size not in (0, 8 * PAGE)
    }


# What is not a database of this version of hpo

SAID: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "There is no database"),
    "empty": (lambda path: path.write_bytes(b""), "is empty (0 bytes), not a database"),
    "folder": (lambda path: shutil.copytree(path.parent, path), "is a folder"),
    "pipe": (os.mkfifo, "is a pipe or a device, not a database file"),
    "text": (lambda path: path.write_text("x = 1\n" * 999), "is not a readable database"),
    "noise": (
        lambda path: path.write_bytes(random.Random(1).randbytes(9999)),
        "is not a readable database",
    ),
    "another program's": (
        lambda path: sql(path, "CREATE TABLE customers (id)"),
        "of hpo|of another program",
    ),
}
EDITED: dict[str, tuple[str, str]] = {
    "newer": (
        "UPDATE hpo_alembic_version SET version_num = '9999'",
        "has revision 9999 of the tables, which this hpo",
    ),
    "older": (
        "UPDATE hpo_alembic_version SET version_num = '0001'",
        "has revision 0001 of the tables, this hpo needs",
    ),
    "newer Optuna": (
        "UPDATE alembic_version SET version_num = 'v9.0.0.a'",
        "has the Optuna schema v9.0.0.a, which this hpo does not know",
    ),
    "older Optuna": (
        "UPDATE alembic_version SET version_num = 'v3.0.0.d'",
        "was made by an older Optuna",
    ),
    "no Optuna": ("DELETE FROM alembic_version", "is not an Optuna database"),
    "two of Optuna's": (
        "INSERT INTO alembic_version VALUES ('1975ea83b712')",
        "has 2 rows in Optuna's table alembic_version",
    ),
    "two of ours": (
        "INSERT INTO hpo_alembic_version VALUES ('1975ea83b712')",
        "holds 2 revisions instead of one",
    ),
    "none of ours": ("DELETE FROM hpo_alembic_version", "holds 0 revisions instead of one"),
}
UNUSABLE = [*SAID, *EDITED, "truncated"]
LEGITIMATE = {("missing", "start")}  # it makes the database
# `db status` says what a readable file is, without judging.
STATED = {
    ("db status", kind)
    for kind in ("another program's", *EDITED)
    if kind not in ("two of ours", "none of ours")
}


def make(kind: str, path: Path, sound: bytes) -> str:
    """Make a file that cannot be used; return what is to be said of it."""
    if kind in SAID:
        action, said = SAID[kind]
        action(path)
        return said
    if kind == "truncated":
        path.write_bytes(sound[: len(sound) // 2])
        return "is not a readable database"
    statement, said = EDITED[kind]
    path.write_bytes(sound)
    sql(path, statement)
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_file_that_cannot_be_used(kind: str, command: str, path: Path, sound: bytes) -> None:
    if (kind, command) in LEGITIMATE:
        return
    said = make(kind, path, sound)
    before = content(path.parent)
    result = run(*COMMANDS[command], "--storage", url_of(path))
    if (command, kind) in STATED:
        assert result.exit_code == 0, result.output
    else:
        sentence = told(result)
        assert any(part in sentence for part in said.split("|")), sentence
        assert path.name in sentence or "hpo_alembic_version" in sentence
    assert content(path.parent) == before


# Damage: what is written over a sound file, by a dying disk or another program


def read_out(path: Path) -> object:
    """Return every value of every table as it is stored, read around hpo; or why that fails."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        connection.text_factory = bytes
        try:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: connection.execute(f'SELECT * FROM "{name.decode()}"').fetchall()
                for (name,) in names.fetchall()
            }
        except (sqlite3.Error, UnicodeDecodeError) as error:
            return repr(error)


def put(path: Path, content: bytes) -> None:
    """Make a file with nothing beside it.

    A new one: connections that wait for the garbage collector share what they know of the log of
    their file.
    """
    for old in path.parent.iterdir():
        old.unlink()
    path.write_bytes(content)


def burst(content: bytearray, page: int, seed: random.Random) -> None:
    at = page * PAGE + seed.randrange(PAGE - BURST)
    content[at : at + BURST] = seed.randbytes(BURST)


def look_at_all(path: Path) -> dict[str, int]:
    """Run every command that only reads; each works or says one sentence, and changes nothing.

    Returns:
        Exit codes by command.
    """
    before = content(path.parent)
    ended = {}
    for name, command in READS.items():
        result = run(*command, "--storage", url_of(path))
        ended[name] = result.exit_code
        if result.exit_code != 0 and (name, result.exit_code) != ("db check", 1):
            told(result)
        assert isinstance(result.exception, SystemExit | None), result.exception
    assert content(path.parent) == before
    return ended


def test_64_bytes_anywhere(path: Path, sound: bytes, soak: bool) -> None:
    path.write_bytes(sound)
    whole = read_out(path)
    found: Counter[str] = Counter()
    for number in range(1000 if soak else 16):
        seed = random.Random(number)
        damaged = bytearray(sound)
        burst(damaged, seed.randrange(len(sound) // PAGE), seed)
        put(path, damaged)
        sound_it_is = look_at_all(path)["db check"] == 0
        changed = read_out(path) != whole
        found[f"{'changed' if changed else 'same'}, {'missed' if sound_it_is else 'found'}"] += 1
        assert not (changed and sound_it_is), f"seed {number}: what was changed is called sound"
    assert found["changed, found"] >= found.total() / 4, found


def test_64_bytes_on_every_page(path: Path, sound: bytes, soak: bool) -> None:
    for number in range(100 if soak else 8):
        seed = random.Random(number)
        damaged = bytearray(sound)
        for page in range(len(sound) // PAGE):
            burst(damaged, page, seed)
        put(path, damaged)
        assert look_at_all(path)["db check"] == 3
        before = content(path.parent)
        for name in ("resume", "narrow") + (("start",) if number < 2 else ()):
            assert NEXT_COMMAND.search(told(run(*WRITES[name], "--storage", url_of(path))))
        assert content(path.parent) == before


def test_a_file_that_ends_too_early(path: Path, sound: bytes, soak: bool) -> None:
    lengths = range(1, len(sound), 251 if soak else 17 * PAGE + 1001)
    for length in lengths:
        put(path, sound[:length])
        assert look_at_all(path)["db check"] == 3, length
    assert len(lengths) >= 5


DAMAGED_TEXT = {
    "no JSON": "UPDATE hpo_studies SET definition = '{\"name\": '",
    "no text": "UPDATE hpo_studies SET definition = CAST(x'7bff' AS TEXT)",
    "no space": "UPDATE hpo_stages SET space = CAST(x'fe' AS TEXT)",
    "no curve": "UPDATE hpo_curves SET metrics = CAST(x'fe' AS TEXT)",
    "no distribution": "UPDATE trial_params SET distribution_json = CAST(x'fe' AS TEXT)",
    "no distribution's JSON": "UPDATE trial_params SET distribution_json = '{'",
}


@pytest.mark.parametrize("kind", DAMAGED_TEXT)
def test_damaged_text(kind: str, path: Path, sound: bytes) -> None:
    path.write_bytes(sound)
    sql(path, DAMAGED_TEXT[kind])
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    assert look_at_all(path)["db check"] != 0


# What belongs to a database lies beside it, too


WRITE_AND_DIE = """
import os, sys
from pathlib import Path
import databases
engine = databases.new(Path(sys.argv[1]))
ledger = databases.ledger_of(engine, databases.the_stage(engine))
for _ in range(4):
    databases.run_one(ledger)
os._exit(9)
"""


@pytest.fixture
def killed(path: Path) -> Path:
    """Return a study of ten: four results in the file, four in the log that a killed one left."""
    engine = databases.new(path)
    ledger = databases.ledger_of(engine, databases.started(engine, 10))
    for _ in range(4):
        databases.run_one(ledger)
    ledger.close()
    engine.dispose()
    with start_python(WRITE_AND_DIE, str(path)) as process:
        assert process.wait(60) == 9
    log = path.with_name("hpo.db-wal")
    assert log.stat().st_size > 0
    return log


def counted(path: Path) -> int:
    return len([row for row in databases.slots_of(path) if row[1] == "complete"])


def test_a_log_that_was_left_is_taken_in(path: Path, killed: Path) -> None:
    before = content(path.parent)
    assert set(look_at_all(path).values()) == {0}
    assert content(path.parent) == before
    assert counted(path) == 8
    assert databases.problems(path) == []


def test_without_its_log_a_database_is_an_earlier_one(path: Path, killed: Path) -> None:
    killed.unlink()
    path.with_name("hpo.db-shm").unlink()
    assert set(look_at_all(path).values()) == {0}
    assert counted(path) == 4
    engine = databases.new(path)
    ledger = databases.ledger_of(engine, databases.the_stage(engine))
    while databases.run_one(ledger) is not None:
        pass
    assert counted(path) == 10
    assert databases.problems(path) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_log_whose_database_is_gone_is_kept(command: str, path: Path, killed: Path) -> None:
    content_of_file = path.read_bytes()
    path.unlink()
    before = content(path.parent)
    sentence = told(run(*COMMANDS[command], "--storage", url_of(path)))
    assert f"There is no database {path}, but hpo.db-wal beside it holds" in sentence
    assert sentence.endswith(f"mv {killed} {killed}.old")
    assert content(path.parent) == before
    path.write_bytes(content_of_file)  # as the sentence says
    assert counted(path) == 8


def test_what_a_log_without_its_database_is_moved_by(path: Path, killed: Path) -> None:
    path.unlink()
    sentence = told(run("list", "--storage", url_of(path)))
    subprocess.run(shlex.split(sentence[sentence.index("mv ") :]), check=True)
    assert run(*WRITES["start"], "--storage", url_of(path)).exit_code == 0


def test_damage_in_the_log_loses_what_follows_it_and_nothing_else(
    path: Path, killed: Path, soak: bool
) -> None:
    # SQLite keeps a checksum of each frame, and stops at the first that is wrong.
    file, log = path.read_bytes(), killed.read_bytes()
    lost: Counter[int] = Counter()
    for number in range(200 if soak else 12):
        seed = random.Random(number)
        at = seed.randrange(len(log) - BURST)
        put(path, file)
        killed.write_bytes(log[:at] + seed.randbytes(BURST) + log[at + BURST :])
        assert set(look_at_all(path).values()) == {0}
        assert databases.problems(path) == []
        lost[8 - counted(path)] += 1
    assert set(lost) <= set(range(5))
    assert lost.total() - lost[0] > 0, "no fault hit what was written"


def test_a_damaged_file_with_a_log_is_not_to_be_replaced_alone(
    path: Path, killed: Path, sound: bytes
) -> None:
    # SQLite would take the log into the copy, whose pages it does not fit.
    path.write_bytes(b"x" * len(sound))
    sentence = told(run("list", "--storage", url_of(path)))
    assert f"hpo db backup   and remove {killed}" in re.sub(r" --storage \S+", "", sentence)
