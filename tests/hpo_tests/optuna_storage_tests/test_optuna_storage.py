"""`hpo.Storage`: what it holds back, what it keeps, and whom it refuses."""

import gc
import math
import pickle
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from databases import sql
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from optuna_studies import a_study, curve, optimize, record, run
from processes import eventually

from hpo.errors import DatabaseError, UsageError
from hpo.store import engine as engine_module
from hpo.store.engine import Durability
from hpo.store.optuna_storage import Storage, storage

UNIT = FloatDistribution(0, 1)


@pytest.fixture(autouse=True)
def _slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold changes back for longer than a slow machine takes for a test."""
    monkeypatch.setattr(storage, "FLUSH_AFTER_S", 20.0)


# What is held back, and for how long


def test_changes_of_an_own_trial_are_held_back_until_it_ends(url: str) -> None:
    ours, other = Storage(url), Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    ours.set_trial_intermediate_value(trial_id, 0, 0.25)
    assert ours.get_trial(trial_id).params == {"x": 0.5}
    assert other.get_trial(trial_id).params == {}
    ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert other.get_trial(trial_id) == ours.get_trial(trial_id)
    assert other.get_trial(trial_id).intermediate_values == {0: 0.25}


def test_a_trial_that_falls_silent_is_visible_without_another_write(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "FLUSH_AFTER_S", 0.05)
    ours, other = Storage(url), Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    deadline = time.monotonic() + 5
    while other.get_trial(trial_id).params != {"x": 0.5}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "act",
    [
        lambda ours, trial_id: ours.remove_session(),
        lambda ours, trial_id: pickle.dumps(ours),
        lambda ours, trial_id: [
            ours.set_trial_intermediate_value(trial_id, step, 0.5) for step in range(513)
        ],
    ],
    ids=["remove_session", "pickle", "many changes"],
)
def test_changes_are_written_early(url: str, act: Callable[[Storage, int], object]) -> None:
    ours, other = Storage(url), Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_user_attr(trial_id, "key", 1)
    assert other.get_trial(trial_id).user_attrs == {}
    act(ours, trial_id)
    assert other.get_trial(trial_id).user_attrs == {"key": 1}


def test_a_process_that_exits_writes_first(url: str) -> None:
    run(
        """
        trial = optuna.create_study(storage=Storage(url), study_name="study").ask()
        trial.suggest_float("x", 0.5, 0.5)
        """,
        url,
    )
    assert Storage(url).get_all_trials(1)[0].params == {"x": 0.5}


@pytest.mark.parametrize("cause", ["locked", "query_only"])
def test_a_failed_write_keeps_everything_for_the_next(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_S", 0.05)
    ours = Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_intermediate_value(trial_id, 3, 0.5)
    blocker = sqlite3.connect(tmp_path / "trials.db", isolation_level=None)
    with ours._writing() as connection:
        driver: Any = connection.connection.dbapi_connection
    if cause == "locked":
        blocker.execute("BEGIN IMMEDIATE")
    else:
        driver.execute("PRAGMA query_only = ON")

    with pytest.raises(DatabaseError):
        ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(DatabaseError):
        ours.remove_session()
    assert ours.get_trial(trial_id).state == TrialState.RUNNING

    if cause == "locked":
        blocker.execute("ROLLBACK")
    else:
        driver.execute("PRAGMA query_only = OFF")
    blocker.close()
    ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    trial = Storage(url).get_trial(trial_id)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 1.0)
    assert trial.intermediate_values == {3: 0.5}


def test_a_background_write_that_failed_is_tried_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT_S", 0.02)
    monkeypatch.setattr(storage, "FLUSH_AFTER_S", 0.02)
    ours, other = Storage(url), Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    blocker = sqlite3.connect(tmp_path / "trials.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    ours.set_trial_intermediate_value(trial_id, 0, 0.5)
    deadline = time.monotonic() + 5
    while "locked" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    blocker.execute("ROLLBACK")
    blocker.close()
    while not other.get_trial(trial_id).intermediate_values:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Who comes too late


@pytest.mark.parametrize("by", ["state", "buffer", "refresh"])
def test_a_trial_finished_by_another_program_fences_its_writer(
    url: str, open_stock: Callable[[str], RDBStorage], by: str
) -> None:
    ours = Storage(url)
    study_id = a_study(ours)
    trial_id = ours.create_new_trial(study_id)
    ours.set_trial_intermediate_value(trial_id, 0, 0.5)
    open_stock(url).set_trial_state_values(trial_id, TrialState.FAIL)
    if by == "buffer":
        ours.remove_session()
    elif by == "refresh":
        assert ours.get_all_trials(study_id)[0].state == TrialState.FAIL
    with pytest.raises(UpdateFinishedTrialError):
        ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(UpdateFinishedTrialError):
        ours.set_trial_intermediate_value(trial_id, 1, 0.5)
    trial = ours.get_trial(trial_id)
    assert (trial.state, trial.value, trial.intermediate_values) == (TrialState.FAIL, None, {})


def test_a_requeued_trial_belongs_to_nobody(url: str) -> None:
    ours, other = Storage(url), Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_user_attr(trial_id, "key", 1)
    assert ours.set_trial_state_values(trial_id, TrialState.WAITING)
    assert other.set_trial_state_values(trial_id, TrialState.RUNNING)
    assert not ours.set_trial_state_values(trial_id, TrialState.RUNNING)
    other.set_trial_state_values(trial_id, TrialState.COMPLETE, [2.0])
    assert ours.get_trial(trial_id).user_attrs == {"key": 1}
    with pytest.raises(UpdateFinishedTrialError):
        ours.set_trial_state_values(trial_id, TrialState.WAITING)


def test_nan_is_refused_as_a_value(url: str) -> None:
    ours = Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    with pytest.raises(ValueError, match="NaN"):
        ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [math.nan])
    assert ours.get_trial(trial_id).state == TrialState.RUNNING


# Read-only


def test_read_only_refuses_every_write_in_one_sentence(url: str) -> None:
    optimize(Storage(url))
    shut = Storage(url, read_only=True)
    study_id = shut.get_study_id_from_name("study")
    waiting = shut.get_all_trials(study_id, states=(TrialState.WAITING,))[0]._trial_id
    writes: list[Callable[[], object]] = [
        lambda: shut.create_new_study([StudyDirection.MINIMIZE]),
        lambda: shut.delete_study(study_id),
        lambda: shut.set_study_user_attr(study_id, "a", 1),
        lambda: shut.set_study_system_attr(study_id, "a", 1),
        lambda: shut.create_new_trial(study_id),
        lambda: shut.set_trial_param(waiting, "y", 0.5, UNIT),
        lambda: shut.set_trial_intermediate_value(waiting, 0, 0.5),
        lambda: shut.set_trial_user_attr(waiting, "a", 1),
        lambda: shut.set_trial_system_attr(waiting, "a", 1),
        lambda: shut.set_trial_state_values(waiting, TrialState.RUNNING),
    ]
    before = record(shut)
    for write in writes:
        with pytest.raises(DatabaseError, match="read-only: nothing was written"):
            write()
    assert record(pickle.loads(pickle.dumps(shut))) == before


def test_read_only_makes_no_file(url: str, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="There is no database"):
        Storage(url, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(url: str, tmp_path: Path) -> None:
    (tmp_path / "trials.db").write_text("lr,accuracy\n" * 100)
    for read_only in (False, True):
        with pytest.raises(DatabaseError, match="not a readable database"):
            Storage(url, read_only=read_only)


@pytest.mark.parametrize(
    ("statement", "message", "also_to_read"),
    [
        ("UPDATE alembic_version SET version_num = 'v9.9.9'", "v9.9.9, which this hpo does", True),
        ("UPDATE alembic_version SET version_num = 'v3.0.0.a'", "older Optuna", True),
        ("INSERT INTO alembic_version VALUES ('0001')", "2 rows", True),
        ("UPDATE hpo_alembic_version SET version_num = '9999'", "revision 9999 .* not", False),
    ],
)
def test_a_schema_that_it_does_not_know_is_refused(
    url: str, tmp_path: Path, statement: str, message: str, also_to_read: bool
) -> None:
    copy = pickle.dumps(Storage(url))
    sql(tmp_path / "trials.db", statement)
    before = (tmp_path / "trials.db").read_bytes()
    ways: list[Callable[[], object]] = [lambda: Storage(url)]
    if also_to_read:  # Optuna's tables are all that a reader needs
        ways += [lambda: Storage(url, read_only=True), lambda: pickle.loads(copy)]
    for way in ways:
        with pytest.raises(DatabaseError, match=message) as caught:
            way()
        assert "\n" not in str(caught.value)
    assert (tmp_path / "trials.db").read_bytes() == before


# Durability


@pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
def test_how_far_a_commit_goes(url: str, durability: Durability, synchronous: int) -> None:
    ours = Storage(url, durability=durability)
    for storage_ in (ours, pickle.loads(pickle.dumps(ours))):
        with storage_._writing() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_durability_that_does_not_exist(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"durability is 'off'\. Give 'normal' or 'full'"):
        Storage(url, durability="off")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# What it keeps


def trials_in_memory() -> int:
    gc.collect()
    return sum(isinstance(found, FrozenTrial) for found in gc.get_objects())


def test_finished_trials_are_kept_for_those_only_who_ask_for_them(url: str) -> None:
    ours = Storage(url)
    study = optuna.create_study(
        storage=ours, study_name="study", sampler=optuna.samplers.RandomSampler()
    )
    study.optimize(curve, n_trials=10)
    before = trials_in_memory()
    study.optimize(curve, n_trials=100)
    assert study.best_value == min(t.value for t in Storage(url).get_all_trials(1))
    assert trials_in_memory() < before + 10

    study.get_trials(deepcopy=False)
    study.optimize(curve, n_trials=100)
    assert trials_in_memory() > before + 200
    assert record(ours) == record(Storage(url))


@pytest.mark.parametrize("kept", [False, True])
def test_trials_of_others_are_followed_until_they_end(
    url: str, open_stock: Callable[[str], RDBStorage], kept: bool
) -> None:
    ours, stock = Storage(url), open_stock(url)
    study_id = a_study(ours)
    first, second, third = (stock.create_new_trial(study_id) for _ in range(3))
    if kept:
        ours.get_all_trials(study_id)
    for trial_id, value in ((second, 0.5), (first, 0.25)):
        assert ours.get_all_trials(study_id, states=(TrialState.WAITING,)) == []
        stock.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
        assert ours.get_best_trial(study_id).value == value
    assert record(ours) == record(stock)
    stock.set_trial_state_values(third, TrialState.FAIL)
    assert record(ours) == record(stock)


# Connections


def test_a_storage_that_is_gone_has_no_file_open(url: str, tmp_path: Path) -> None:
    def open_files() -> list[str]:
        return [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path]

    ours = Storage(url)
    study = optuna.create_study(storage=ours)
    study.optimize(curve, n_trials=2)
    assert open_files()
    del ours, study
    # The timer that writes what is held back lets go when it ends.
    eventually(lambda: open_files() == [])


def test_a_process_that_exits_closes_what_it_opened(url: str) -> None:
    printed = run(
        """
        import atexit, sqlite3
        connect, opened = sqlite3.connect, []

        def remember(*args, **kwargs):
            opened.append(connect(*args, **kwargs))
            return opened[-1]

        def is_open(connection):
            try:
                return connection.total_changes >= 0
            except sqlite3.ProgrammingError:
                return False

        sqlite3.connect = remember
        ours = Storage(url)
        ours.create_new_trial(ours.create_new_study([StudyDirection.MINIMIZE]))
        print(sum(map(is_open, opened)))
        atexit._run_exitfuncs()
        print(sum(map(is_open, opened)))
        """,
        url,
    )
    assert printed.split() == ["2", "0"]


def test_a_storage_that_cannot_be_written_at_exit_keeps_no_other_from_it(
    tmp_path: Path, url: str
) -> None:
    run(
        """
        from hpo.store import engine
        engine.BUSY_TIMEOUT_S = 0.05
        storages = [Storage(url.replace("trials", f"trials{i}")) for i in range(5)]
        for ours in storages:
            trial = optuna.create_study(storage=ours, study_name="study").ask()
            trial.suggest_float("x", 0.5, 0.5)
        with storages[2]._writing() as connection:
            connection.exec_driver_sql("DROP TABLE trial_params")
        """,
        url,
    )
    params = [sql(tmp_path / f"trials{i}.db", "SELECT count(*) FROM trials") for i in range(5)]
    written = [
        sql(tmp_path / f"trials{i}.db", "SELECT param_value FROM trial_params")
        for i in (0, 1, 3, 4)
    ]
    assert params == [[(1,)]] * 5
    assert written == [[(0.5,)]] * 4


# Ranges


def test_a_grid_of_choices_keeps_its_first_form(url: str) -> None:
    ours = Storage(url)
    study_id = a_study(ours)
    first, second = (ours.create_new_trial(study_id) for _ in range(2))
    ours.set_trial_param(first, "x", 0, CategoricalDistribution(["a", "b"]))
    ours.set_trial_state_values(first, TrialState.COMPLETE, [0.0])
    for other, trial_id in (
        (ours, second),
        (Storage(url), Storage(url).create_new_trial(study_id)),
    ):
        with pytest.raises(ValueError, match="dynamic value space"):
            other.set_trial_param(trial_id, "x", 0, CategoricalDistribution(["a"]))
