"""`hpo.Storage`: Optuna's own conformance suite, stock tools on the same file, and the races."""

import copy
import math
import pickle
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage
from optuna.study import StudyDirection
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import DatabaseError
from hpo.store import engine as engine_module
from hpo.store import optuna_storage
from hpo.store.optuna_storage import Storage

UNIT = FloatDistribution(0, 1)


@pytest.fixture(autouse=True)
def _quiet_optuna() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/trials.db"


@pytest.fixture
def open_stock() -> Iterator[Callable[[str], RDBStorage]]:
    opened: list[RDBStorage] = []

    def open_(url: str) -> RDBStorage:
        opened.append(RDBStorage(url))
        return opened[-1]

    yield open_
    for storage in opened:
        storage.engine.dispose()


class ForCache(Storage):
    """What `_CachedStorage` calls of an `RDBStorage` beyond a storage's interface."""

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None) -> FrozenTrial:
        return self.get_trial(self.create_new_trial(study_id, template_trial))

    def _set_trial_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, _: object
    ) -> None:
        self.set_trial_param(trial_id, name, value, distribution)

    def _get_trials(
        self,
        study_id: int,
        states: object,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        return [
            trial
            for trial in self.get_all_trials(study_id, deepcopy=False)
            if trial._trial_id in included_trial_ids or trial._trial_id > trial_id_greater_than
        ]

    def _get_best_trial_id(self, study_id: int, direction: StudyDirection) -> int:
        return self.get_best_trial(study_id)._trial_id


class TestConformance(StorageTestCase):
    @pytest.fixture
    def storage(self, url: str) -> BaseStorage:
        return Storage(url)


class TestConformanceUnderOptunasCache(StorageTestCase):
    @pytest.fixture
    def storage(self, url: str) -> BaseStorage:
        return _CachedStorage(ForCache(url))  # type: ignore[arg-type]


class TestConformanceWithoutOwnership(StorageTestCase):
    """A pickled storage holds nothing back: every change takes the other path."""

    @pytest.fixture
    def storage(self, url: str) -> BaseStorage:
        class Shared(Storage):
            def create_new_trial(
                self, study_id: int, template_trial: FrozenTrial | None = None
            ) -> int:
                trial_id = super().create_new_trial(study_id, template_trial)
                self._own.clear()
                return trial_id

            def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
                return Storage, (self._url,)

        return Shared(url)


def a_study(storage: BaseStorage) -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE], "study")


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 1e-6, 1e-2, log=True)
    n = trial.suggest_int("n", 1, 64, step=3)
    kind = trial.suggest_categorical("kind", ["sgd", None, 3])
    trial.set_user_attr("tuple", (1, 2))
    trial.set_user_attr("nested", {"a": [math.inf, "ü"]})
    for step, value in enumerate([x, math.nan, math.inf, -math.inf, n]):
        trial.report(value, step)
    if trial.number % 5 == 3:
        raise optuna.TrialPruned
    if trial.number % 5 == 4:
        raise ValueError("an objective that fails")
    return math.inf if trial.number == 7 else x * n + (kind == "sgd")


def optimize(storage: BaseStorage) -> None:
    study = optuna.create_study(
        storage=storage, study_name="study", sampler=optuna.samplers.RandomSampler(seed=1)
    )
    study.enqueue_trial({"x": 0.001, "n": 4, "kind": None}, user_attrs={"queued": True})
    study.optimize(objective, n_trials=12, catch=(ValueError,))
    study.enqueue_trial({"x": 0.002})
    study.set_user_attr("note", [1, None])


def record(storage: BaseStorage) -> str:
    """All of a study's trials as text, which NaN equals itself in."""
    study_id = storage.get_study_id_from_name("study")
    return repr(
        [
            (
                trial.number,
                trial.state,
                trial.values,
                trial.params,
                trial.distributions,
                sorted(trial.user_attrs.items()),
                sorted(trial.system_attrs.items()),
                sorted(trial.intermediate_values.items()),
                trial.datetime_start,
                trial.datetime_complete,
            )
            for trial in storage.get_all_trials(study_id)
        ]
        + [storage.get_study_user_attrs(study_id), storage.get_study_directions(study_id)]
    )


def test_stock_optuna_reads_what_ours_wrote(
    url: str, open_stock: Callable[[str], RDBStorage]
) -> None:
    ours = Storage(url)
    optimize(ours)
    assert record(ours) == record(open_stock(url)) == record(Storage(url, read_only=True))


def test_ours_reads_what_stock_optuna_wrote(
    url: str, open_stock: Callable[[str], RDBStorage]
) -> None:
    stock = open_stock(url)
    optimize(stock)
    assert record(stock) == record(Storage(url)) == record(Storage(url, read_only=True))


def test_the_trials_are_those_of_the_storage_in_memory(url: str) -> None:
    studies = []
    for storage in (Storage(url), optuna.storages.InMemoryStorage()):
        study = optuna.create_study(
            storage=storage,
            sampler=optuna.samplers.TPESampler(seed=3, n_startup_trials=20),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        )

        def prunable(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            for step in range(5):
                trial.report(x, step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return x

        study.optimize(prunable, n_trials=30)
        studies.append([(t.state, t.values, t.params) for t in study.trials])
    assert studies[0] == studies[1]
    assert {state for state, *_ in studies[0]} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_both_write_one_study_in_turns(url: str, open_stock: Callable[[str], RDBStorage]) -> None:
    ours, stock = Storage(url), open_stock(url)
    studies = [
        optuna.create_study(storage=storage, study_name="study", load_if_exists=True)
        for storage in (ours, stock)
    ]
    for study in [*studies, *studies]:
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert [trial.number for trial in studies[0].trials] == list(range(8))
    assert record(ours) == record(stock)


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
    monkeypatch.setattr(optuna_storage, "FLUSH_AFTER_S", 0.05)
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
        lambda storage, trial_id: storage.remove_session(),
        lambda storage, trial_id: pickle.dumps(storage),
        lambda storage, trial_id: [
            storage.set_trial_intermediate_value(trial_id, step, 0.5) for step in range(513)
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
        import optuna
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
    driver: Any = ours._writer.connection.dbapi_connection
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
    monkeypatch.setattr(optuna_storage, "FLUSH_AFTER_S", 0.02)
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


def test_a_deleted_studys_id_brings_back_nothing_of_it(
    url: str, open_stock: Callable[[str], RDBStorage]
) -> None:
    ours, stock = Storage(url), open_stock(url)
    study = optuna.create_study(storage=ours, study_name="study")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert len(study.trials) == 3
    stock.delete_study(study._study_id)
    again = optuna.create_study(storage=stock, study_name="study", direction="maximize")
    assert again._study_id == study._study_id
    again.optimize(lambda trial: trial.suggest_categorical("x", [7]), n_trials=4)
    assert record(ours) == record(stock)
    assert ours.get_best_trial(study._study_id).value == 7


def test_deleting_a_study_leaves_no_row(url: str, tmp_path: Path) -> None:
    ours = Storage(url)
    optimize(ours)
    ours.delete_study(ours.get_study_id_from_name("study"))
    with sqlite3.connect(tmp_path / "trials.db") as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%trial%'"
        ).fetchall()
        left = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}
    connection.close()
    assert set(map(tuple, left.values())) == {()}


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


# Threads, processes, copies


def test_threads_share_a_storage(url: str) -> None:
    ours = Storage(url)
    study = optuna.create_study(storage=ours, study_name="study")
    study.optimize(objective, n_trials=40, n_jobs=2, catch=(ValueError,))
    assert [trial.number for trial in study.trials] == list(range(40))
    assert all(len(trial.intermediate_values) == 5 for trial in study.trials)
    assert record(ours) == record(Storage(url))


def test_threads_read_while_others_write(url: str) -> None:
    ours = Storage(url)
    study_id = a_study(ours)

    def work(worker: int) -> None:
        for _ in range(20):
            trial_id = ours.create_new_trial(study_id)
            ours.set_trial_intermediate_value(trial_id, worker, 0.5)
            copy.deepcopy(ours.get_all_trials(study_id, deepcopy=False))
            ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [float(worker)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert [trial.number for trial in ours.get_all_trials(study_id)] == list(range(80))


def test_a_pickled_copy_may_go_on_with_a_trial(url: str) -> None:
    ours = Storage(url)
    study = optuna.create_study(storage=ours, study_name="study")
    trial = study.ask()
    there: optuna.Trial = pickle.loads(pickle.dumps(trial))
    there.suggest_float("x", 0.5, 0.5)
    there.report(0.25, 0)
    study.tell(trial, 1.0)
    assert study.trials[0].params == {"x": 0.5}
    assert study.trials[0].intermediate_values == {0: 0.25}


def test_a_copy_works_from_another_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = Storage("sqlite:///trials.db")
    a_study(ours)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(pickle.dumps(ours)).get_study_name_from_id(1) == "study"


def test_a_forked_process_has_its_own_connections(url: str) -> None:
    run(
        """
        import os
        ours = Storage(url)
        study_id = ours.create_new_study([StudyDirection.MINIMIZE], "study")
        first = ours.create_new_trial(study_id)
        ours.set_trial_intermediate_value(first, 0, 0.5)
        child = os.fork()
        mine = ours.create_new_trial(study_id)
        ours.set_trial_state_values(mine, TrialState.COMPLETE, [1.0])
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        ours.set_trial_state_values(first, TrialState.COMPLETE, [0.0])
        """,
        url,
    )
    trials = Storage(url).get_all_trials(1)
    assert sorted(trial.values for trial in trials) == [[0.0], [1.0], [1.0]]
    assert trials[0].intermediate_values == {0: 0.5}


def test_many_processes_open_a_new_file_at_once(url: str) -> None:
    run("Storage(url).create_new_study([StudyDirection.MINIMIZE])", url, processes=6)
    assert len(Storage(url).get_all_studies()) == 6


def test_a_queued_trial_is_handed_out_once(url: str) -> None:
    study = optuna.create_study(storage=Storage(url), study_name="study")
    for x in range(60):
        study.enqueue_trial({"x": x})
    printed = run(
        """
        import optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.load_study(storage=Storage(url), study_name="study")
        for _ in range(15):
            trial = study.ask()
            print(trial.suggest_float("x", 0, 60))
            study.tell(trial, 0.0)
        """,
        url,
        processes=4,
    )
    assert sorted(float(x) for x in printed.split()) == list(range(60))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 60


def test_processes_number_their_trials_without_gaps(url: str) -> None:
    a_study(Storage(url))
    run(
        """
        ours = Storage(url)
        for _ in range(25):
            trial_id = ours.create_new_trial(1)
            ours.set_trial_intermediate_value(trial_id, 0, 0.5)
            ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
        """,
        url,
        processes=4,
    )
    trials = Storage(url).get_all_trials(1)
    assert [trial.number for trial in trials] == list(range(100))
    assert all(trial.intermediate_values == {0: 0.5} for trial in trials)


def run(code: str, url: str, processes: int = 1) -> str:
    """Run code in fresh processes that begin together; return what they print."""
    lines = [line.removeprefix("        ") for line in code.splitlines()]
    program = "\n".join(
        [
            "import sys",
            "from optuna.study import StudyDirection",
            "from optuna.trial import TrialState",
            "from hpo.store.optuna_storage import Storage",
            "url = sys.argv[1]",
            "print('ready', flush=True)",
            "sys.stdin.readline()",
            *lines,
        ]
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", program, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = ""
    for process in started:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        printed += out
    return printed


# The stock dashboard


def test_the_stock_dashboard_shows_a_study(url: str) -> None:
    import io
    import json

    from optuna_dashboard import wsgi

    optimize(Storage(url))
    app = wsgi(Storage(url, read_only=True))
    status: list[str] = []
    body = app(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/api/studies/1",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
        },
        lambda code, headers, *_: status.append(code),
    )
    shown = json.loads(b"".join(body))
    assert status == ["200 OK"]
    assert len(shown["trials"]) == 13


def test_a_grid_of_choices_keeps_its_first_form(url: str) -> None:
    ours = Storage(url)
    study_id = a_study(ours)
    first, second = (ours.create_new_trial(study_id) for _ in range(2))
    ours.set_trial_param(first, "x", 0, CategoricalDistribution(["a", "b"]))
    ours.set_trial_state_values(first, TrialState.COMPLETE, [0.0])
    for storage, trial_id in (
        (ours, second),
        (Storage(url), Storage(url).create_new_trial(study_id)),
    ):
        with pytest.raises(ValueError, match="dynamic value space"):
            storage.set_trial_param(trial_id, "x", 0, CategoricalDistribution(["a"]))
