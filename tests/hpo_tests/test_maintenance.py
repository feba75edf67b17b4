"""`hpo db`: a copy while others write, and every kind of damage found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import databases
import optuna
import pytest
from databases import problems, sql, url_of

from hpo.errors import DatabaseError
from hpo.store import maintenance, migrations
from hpo.store.optuna_storage import Storage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database with a study of five slots: four ended, the last never begun."""
    path = tmp_path / "hpo.db"
    engine = databases.new(path)
    stage = databases.started(engine, 5)
    ledger = databases.ledger_of(engine, stage)
    for _ in range(4):
        databases.run_one(ledger, stage)
    engine.dispose()
    return path


def test_status_says_what_it_is(path: Path) -> None:
    assert maintenance.status(url_of(path)) == {
        "file": str(path),
        "size_bytes": path.stat().st_size,
        "revision": migrations.HEAD,
        "newest_revision": migrations.HEAD,
        "optuna_schema": "v3.2.0.a",
        "studies": 1,
        "trials": 4,
    }


# Backup


def test_a_copy_made_while_two_processes_write_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    engine = databases.new(path)
    databases.started(engine, 20_000)
    engine.dispose()
    with (
        databases.spawn(f"write_for_ever({str(path)!r})") as one,
        databases.spawn(f"write_for_ever({str(path)!r})") as two,
    ):
        processes = (one, two)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        copies = [maintenance.backup(url_of(path), tmp_path / f"copy{i}.db") for i in range(3)]
        for process in processes:
            assert process.poll() is None, "the writers ended too early for this test"
            process.kill()
    counts = []
    for copy in copies:
        assert problems(copy) == []
        found = sql(copy, "SELECT count(*) FROM hpo_slots WHERE state = 'complete'")
        counts.append(found[0][0])
        assert len(sql(copy, "SELECT number FROM trials")) in range(found[0][0], found[0][0] + 3)
    assert counts == sorted(counts)
    assert problems(path) == []


def test_a_copy_is_a_database_to_go_on_with(path: Path, tmp_path: Path) -> None:
    copy = maintenance.backup(url_of(path), tmp_path / "copy.db")
    engine = databases.new(copy)
    stage = databases.the_stage(engine)
    claim = databases.run_one(databases.ledger_of(engine, stage), stage)
    assert claim is not None
    assert claim.slot == 4
    assert problems(copy) == problems(path) == []
    assert len(sql(path, "SELECT number FROM trials")) == 4


def test_a_copy_without_a_name_lies_beside_the_database(path: Path) -> None:
    copy = maintenance.backup(url_of(path), None)
    assert copy.parent == path.parent
    assert copy.name.startswith("hpo-2")
    assert copy.suffix == ".db"


def test_a_backup_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("words")
    with pytest.raises(DatabaseError, match="precious exists already"):
        maintenance.backup(url_of(path), target)
    assert target.read_text() == "words"
    with pytest.raises(DatabaseError, match="exists already"):
        maintenance.backup(url_of(path), path)
    with pytest.raises(DatabaseError, match="There is no folder"):
        maintenance.backup(url_of(path), tmp_path / "none/copy.db")
    assert problems(path) == []


def test_a_backup_of_garbage_leaves_nothing_behind(tmp_path: Path) -> None:
    path, target = tmp_path / "bad.db", tmp_path / "copy.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseError, match="not a readable database"):
        maintenance.backup(url_of(path), target)
    assert not target.exists()


# Check


def test_a_sound_database(path: Path) -> None:
    assert problems(path) == []


def delete_the_study(path: Path) -> None:
    optuna.delete_study(study_name="s/1", storage=Storage(url_of(path)))


def ask_once_more(path: Path) -> None:
    optuna.load_study(study_name="s/1", storage=Storage(url_of(path))).ask()


def enqueue(path: Path) -> None:
    study = optuna.load_study(study_name="s/1", storage=Storage(url_of(path)))
    study.enqueue_trial({"x": 1e-3})


def say(statement: str) -> Callable[[Path], object]:
    return lambda path: sql(path, statement)


DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "slot says failed, trial complete": (
        say("UPDATE hpo_slots SET state = 'failed' WHERE slot = 1"),
        ["trial 1 is COMPLETE, its slot failed"],
    ),
    "slot open again, trial complete": (
        say("UPDATE hpo_slots SET state = 'open' WHERE slot = 2"),
        ["trial 2 is COMPLETE, its slot open"],
    ),
    "trial runs, slot complete": (
        say("UPDATE trials SET state = 'RUNNING' WHERE number = 0"),
        ["trial 0 is RUNNING, its slot complete"],
    ),
    "trial gone": (
        say("DELETE FROM trials WHERE number = 3"),
        ["slot 3 is complete and has no trial"],
    ),
    "two trials of one number": (
        say("UPDATE trials SET number = 0 WHERE number = 1"),
        ["has two trials of the same number", "slot 1 is complete and has no trial"],
    ),
    "trial of an unbegun slot": (ask_once_more, ["trial 4 belongs to no slot"]),
    "queued trial": (enqueue, ["trial 4 belongs to no slot"]),
    "trial beyond the budget": (
        say("UPDATE trials SET number = 9 WHERE number = 3"),
        ["trial 9 belongs to no slot", "slot 3 is complete and has no trial"],
    ),
    "slot gone": (
        say("DELETE FROM hpo_slots WHERE slot = 4"),
        [
            "has 4 slots for a budget of 5 trials",
            "is marked as open with 0 uncounted slots",
        ],
    ),
    "slot too many": (
        say(
            "INSERT INTO hpo_slots (stage_id, slot, state, attempt, losses)"
            " VALUES (1, 5, 'open', 0, 0)"
        ),
        ["has 6 slots for a budget of 5 trials"],
    ),
    "Optuna study deleted": (delete_the_study, ["its Optuna study s/1 is gone"]),
    "stage closed too early": (
        say("UPDATE hpo_stages SET finished_at = '2026-01-01T00:00:00+00:00'"),
        ["is marked as finished with 1 uncounted slots"],
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(kind: str, path: Path) -> None:
    damage, found = DAMAGE[kind]
    damage(path)
    assert problems(path) == [f"study 1, stage 1: {sentence}" for sentence in found]


def test_damage_is_found_in_the_study_that_has_it(path: Path) -> None:
    engine = databases.new(path)
    databases.started(engine, 2, "other")
    sql(path, "DELETE FROM hpo_slots WHERE stage_id = 2 AND slot = 1")
    assert problems(path) == ["study 2, stage 1: has 1 slots for a budget of 2 trials"]


def test_sqlites_own_check_is_asked(path: Path) -> None:
    # An index that does not know a row any more, as a torn write leaves it.
    ((root,),) = sql(path, "SELECT rootpage FROM sqlite_master WHERE name = 'ix_trials_study_id'")
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    start = (root - 1) * 4096
    content[start + 3 : start + 5] = b"\x00\x00"  # number of cells on the page
    path.write_bytes(content)
    assert any(found.startswith("SQLite: ") for found in problems(path))
