"""`hpo db check`: nothing to say of a sound database, one sentence for each kind of damage."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import databases
import optuna
import pytest
from commands import done, run
from databases import LOST, problems, sql, steps, url_of
from objectives.files import place

import hpo
from hpo.errors import DatabaseError
from hpo.store.attempt import Outcome, Step
from hpo.store.check import examine
from hpo.store.engine import writing
from hpo.store.optuna_storage import Storage
from hpo.store.reconcile import reconcile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database whose stage of 5 has four slots counted and one that was not begun."""
    path = tmp_path / "hpo.db"
    engine = databases.new(path)
    ledger = databases.ledger_of(engine, databases.started(engine, 5))
    lost = databases.take(ledger)
    assert lost is not None
    ledger.beat([(lost, steps(0.125))])
    ledger.lose(lost, 3, LOST)
    for outcome in (
        databases.COMPLETE,
        Outcome("pruned", None, 0.5),
        Outcome("failed", None, 0.5, reason="error", error="ValueError: no"),
    ):
        databases.run_one(ledger, outcome)
    last = databases.take(ledger)
    assert last is not None
    odd = {"score": float("nan"), "half": float("inf")}
    ledger.finish(last, databases.COMPLETE, [Step(0, 0.1, odd), Step(1, 0.2, {"other": 1.0})])
    return path


def test_a_sound_database(path: Path) -> None:
    assert problems(path) == []


def test_a_database_in_the_middle_of_a_run_is_sound(path: Path) -> None:
    engine = databases.new(path)
    ledger = databases.ledger_of(engine, databases.started(engine, 3, "running"))
    claims = [databases.take(ledger) for _ in range(3)]
    for claim in claims[:2]:
        assert claim is not None
        assert ledger.beat([(claim, steps(0.5, 0.25))]) == []
    assert claims[1] is not None
    ledger.release([claims[1]])
    sql(path, "UPDATE hpo_slots SET owner = 'boot/namespace/1/1/1' WHERE state = 'running'")
    assert problems(path) == []


def delete_the_study(path: Path) -> None:
    optuna.delete_study(study_name="s/1", storage=Storage(url_of(path)))


def ask_once_more(path: Path) -> None:
    optuna.load_study(study_name="s/1", storage=Storage(url_of(path))).ask()


def enqueue(path: Path) -> None:
    study = optuna.load_study(study_name="s/1", storage=Storage(url_of(path)))
    study.enqueue_trial({"x": 1e-3})


def copy_the_study(path: Path) -> None:
    """Do the first half of the dashboard's rename."""
    optuna.copy_study(
        from_study_name="s/1",
        from_storage=Storage(url_of(path)),
        to_storage=Storage(url_of(path)),
        to_study_name="renamed",
    )


def say(statement: str) -> Callable[[Path], object]:
    return lambda path: sql(path, statement)


STAGE = "study 1, stage 1: "
GONE = STAGE + "slot 3 is complete and has no trial"
ORPHANS = [
    "1 row of trial_intermediate_values belong to rows of trials that are gone",
    "3 rows of trial_params belong to rows of trials that are gone",
    "1 row of trial_values belong to rows of trials that are gone",
]

DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "slot says failed, trial complete": (
        say("UPDATE hpo_slots SET state = 'failed' WHERE slot = 3"),
        [STAGE + "trial 3 is COMPLETE, its slot failed"],
    ),
    "slot open again, trial complete": (
        say("UPDATE hpo_slots SET state = 'open' WHERE slot = 3"),
        [
            STAGE + "slot 3 has 1 attempts, of which 1 did not count; 0 are written down",
            STAGE + "trial 3 is COMPLETE, its slot open",
        ],
    ),
    "trial runs, slot complete": (
        say("UPDATE trials SET state = 'RUNNING' WHERE number = 0"),
        [STAGE + "trial 0 is RUNNING, its slot complete"],
    ),
    "trial gone": (say("DELETE FROM trials WHERE number = 3"), [*ORPHANS, GONE]),
    "last trial gone": (
        lambda path: [
            sql(path, f"DELETE FROM {table} WHERE trial_id = 4")
            for table in ("trial_intermediate_values", "trial_params", "trial_values", "trials")
        ],
        [GONE],
    ),
    "told, slot running": (
        say(
            "UPDATE hpo_slots SET state = 'running', owner = 'o', lease = 0, seconds = NULL "
            "WHERE slot = 2"
        ),
        [STAGE + "trial 2 is FAIL, its slot running"],
    ),
    "stage not closed": (
        lambda path: (resume(path), sql(path, "UPDATE hpo_stages SET finished_at = NULL")),
        [STAGE + "is marked as open with 0 uncounted slots"],
    ),
    "two trials of one number": (
        say("UPDATE trials SET number = 0 WHERE number = 3"),
        [
            "Optuna study s/1: has two trials of the same number",
            STAGE + "trial 0 shows another curve than its attempt 2 reported",
            GONE,
        ],
    ),
    "trial of an unbegun slot": (ask_once_more, [STAGE + "trial 4 belongs to no slot"]),
    "queued trial": (enqueue, [STAGE + "trial 4 belongs to no slot"]),
    "trial beyond the budget": (
        say("UPDATE trials SET number = 9 WHERE number = 3"),
        [
            "Optuna study s/1: its 4 trials are not numbered 0 to 3",
            STAGE + "trial 9 belongs to no slot",
            GONE,
        ],
    ),
    "value gone": (
        say("DELETE FROM trial_values WHERE trial_id = 4"),
        ["Optuna study s/1: trial 3 is COMPLETE and has no value"],
    ),
    "slot gone": (
        say("DELETE FROM hpo_slots WHERE slot = 4"),
        [
            STAGE + "has 4 slots for a budget of 5 trials",
            STAGE + "is marked as open with 0 uncounted slots",
        ],
    ),
    "slot too many": (
        say("INSERT INTO hpo_slots (stage_id, slot, state, attempt) VALUES (1, 5, 'open', 0)"),
        [STAGE + "has 6 slots for a budget of 5 trials"],
    ),
    "Optuna study deleted": (delete_the_study, [STAGE + "its Optuna study s/1 is gone"]),
    "Optuna study copied": (
        copy_the_study,
        [
            "the Optuna studies s/1 and renamed are the same stage: one was copied. "
            "The last counts, delete the other"
        ],
    ),
    "stage gone": (
        say("UPDATE study_user_attributes SET value_json = '\"nobody\"'"),
        [
            "Optuna study s/1 says that it is a stage, but there is no such stage",
            STAGE + "its Optuna study s/1 is gone",
        ],
    ),
    "stage closed too early": (
        say("UPDATE hpo_stages SET finished_at = '2026-01-01T00:00:00+00:00'"),
        [STAGE + "is marked as finished with 1 uncounted slots"],
    ),
    "parameter gone": (
        say("DELETE FROM trial_params WHERE trial_id = 1 AND param_name = 'kind'"),
        [STAGE + "trial 0 has parameters that are not of its space: {'x': 0.001, 'n': 4}"],
    ),
    "parameter out of range": (
        say("UPDATE trial_params SET param_value = 0.5 WHERE trial_id = 1 AND param_name = 'x'"),
        [
            STAGE + "trial 0 has parameters that are not of its space: "
            "{'x': 0.5, 'n': 4, 'kind': 'b'}"
        ],
    ),
    "curve of a lost attempt": (
        say("UPDATE trial_intermediate_values SET intermediate_value = 0.125 WHERE trial_id = 1"),
        [STAGE + "trial 0 shows another curve than its attempt 2 reported"],
    ),
    "step lost": (
        say("DELETE FROM hpo_curves WHERE slot_id = 2 AND step = 1"),
        [STAGE + "trial 1 shows another curve than its attempt 1 reported"],
    ),
    "curve of nobody": (
        say("UPDATE hpo_curves SET attempt = 7 WHERE slot_id = 2"),
        [
            STAGE + "slot 1 has a curve of attempt 7, which was never begun",
            STAGE + "trial 1 shows another curve than its attempt 1 reported",
        ],
    ),
    "owner of a finished slot": (
        say("UPDATE hpo_slots SET owner = 'somebody' WHERE slot = 0"),
        [STAGE + "slot 0 is complete and has an owner"],
    ),
    "run by nobody": (
        say("UPDATE hpo_slots SET state = 'running' WHERE slot = 2"),
        [
            STAGE + "slot 2 is running and has no owner",
            STAGE + "trial 2 is FAIL, its slot running",
        ],
    ),
    "seed forgotten": (
        say("UPDATE hpo_slots SET seed = NULL WHERE slot = 2"),
        [STAGE + "slot 2 is failed and has no seed"],
    ),
    "run without a seed": (
        say(
            "UPDATE hpo_slots SET state = 'running', owner = 'o', lease = 9, seed = NULL "
            "WHERE slot = 2"
        ),
        [
            STAGE + "slot 2 is running and has no seed",
            STAGE + "trial 2 is FAIL, its slot running",
        ],
    ),
    "duration forgotten": (
        say("UPDATE hpo_slots SET seconds = NULL WHERE slot = 2"),
        [STAGE + "slot 2 is failed and has no duration"],
    ),
    "lost attempt not written down": (
        say("DELETE FROM hpo_retries"),
        [STAGE + "slot 0 has 2 attempts, of which 1 did not count; 0 are written down"],
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(kind: str, path: Path) -> None:
    damage, found = DAMAGE[kind]
    damage(path)
    assert problems(path) == found


RESTORE = "cannot be mended. Restore a copy made by: hpo db backup"
RESUMED = [
    "trial runs, slot complete",
    "last trial gone",
    "told, slot running",
    "stage not closed",
]


def resume(path: Path) -> None:
    """Do what `hpo resume 1` does, without a worker."""
    engine = databases.new(path)
    stage = databases.the_stage(engine)
    with writing(engine) as connection:
        reconcile(connection, stage, "score")
    ledger = databases.ledger_of(engine, stage)
    while databases.run_one(ledger) is not None:
        pass


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_remedy_is_one(kind: str, path: Path) -> None:
    DAMAGE[kind][0](path)
    remedies = {finding.remedy for finding in examine(url_of(path))}
    if kind in RESUMED:
        assert remedies == {"To mend study 1: hpo resume 1"}
        resume(path)
        assert problems(path) == []
    elif kind == "Optuna study copied":
        (remedy,) = remedies
        command = shlex.split(remedy[remedy.index("optuna ") :])
        command[0] = str(Path(sys.executable).with_name("optuna"))
        subprocess.run(command, check=True, capture_output=True)
        assert problems(path) == []
    else:
        assert all(remedy.endswith(RESTORE) for remedy in remedies)


def test_each_study_has_its_own_remedy(path: Path) -> None:
    databases.started(databases.new(path), 2, "other")
    sql(path, "DELETE FROM hpo_slots WHERE stage_id = 2 AND slot = 1")
    sql(path, "UPDATE trials SET state = 'RUNNING' WHERE number = 0")
    url = f"sqlite:///{path.parent}/./hpo.db"
    told = run("db", "check", "--storage", url)
    assert told.exit_code == 1
    assert told.stdout.splitlines() == problems(path)
    assert told.stderr == (
        f"To mend study 1: hpo resume --storage {url} 1\n"
        f"Study 2 cannot be mended. Restore a copy made by: hpo db backup\n"
    )
    assert json.loads(run("db", "check", "--json", "--storage", url).stdout) == problems(path)


def test_what_the_check_names_mends_a_real_study(home: Path) -> None:
    hpo.start(place(home, search={"trials": 3}), workers=1)
    sql(home / "hpo.db", "UPDATE trials SET state = 'RUNNING' WHERE number = 1")
    told = run("db", "check")
    assert told.stderr == "To mend study 1: hpo resume 1\n"
    done("resume", 1)
    assert done("db", "check").stdout == "Nothing wrong was found.\n"


def test_damage_is_found_in_the_study_that_has_it(path: Path) -> None:
    engine = databases.new(path)
    databases.started(engine, 2, "other")
    sql(path, "DELETE FROM hpo_slots WHERE stage_id = 2 AND slot = 1")
    assert problems(path) == ["study 2, stage 1: has 1 slots for a budget of 2 trials"]


def test_damage_is_found_wherever_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many trials are not looked at all at once."""
    monkeypatch.setattr("hpo.store.check._AT_ONCE", 3)
    assert problems(path) == []
    sql(path, "DELETE FROM hpo_curves WHERE step = 1")
    assert problems(path) == [
        f"{STAGE}trial {number} shows another curve than its attempt {2 - (number > 0)} reported"
        for number in range(3)
    ]
    sql(path, "DELETE FROM trial_params WHERE trial_id = 4")
    assert problems(path)[-1] == STAGE + "trial 3 has parameters that are not of its space: {}"


def test_sqlites_own_check_is_asked(path: Path) -> None:
    # An index that does not know a row any more, as a torn write leaves it.
    ((root,),) = sql(path, "SELECT rootpage FROM sqlite_master WHERE name = 'ix_trials_study_id'")
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    start = (root - 1) * 4096
    content[start + 3 : start + 5] = b"\x00\x00"  # number of cells on the page
    path.write_bytes(content)
    assert any(found.startswith("SQLite: ") for found in problems(path))


def test_a_database_of_optuna_alone_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "stock.db"
    storage = optuna.storages.RDBStorage(url_of(path))
    study = optuna.create_study(study_name="theirs", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    storage.engine.dispose()
    assert problems(path) == []
    sql(path, "UPDATE trials SET number = 1 WHERE number = 2")
    assert problems(path) == ["Optuna study theirs: has two trials of the same number"]


def test_a_file_of_another_program_is_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    sql(path, "CREATE TABLE customers (id INTEGER)")
    with pytest.raises(DatabaseError, match="is a database of another program"):
        problems(path)
