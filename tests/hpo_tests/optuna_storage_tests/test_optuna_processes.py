"""`hpo.Storage` in several threads and processes, as a copy, and under the stock dashboard."""

import copy
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState
from optuna_dashboard import wsgi
from optuna_studies import a_study, objective, optimize, record, run, start
from processes import start_python

from hpo.store.optuna_storage import Storage

INTERRUPTED = """
import optuna, os, signal, sqlite3, sys, threading, time
import hpo

url, path = sys.argv[1:]
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage=hpo.Storage(url))
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
interrupts = 0
for _ in range(20):
    other.execute("BEGIN IMMEDIATE")

    def interrupt():
        time.sleep(0.035)
        os.kill(os.getpid(), signal.SIGINT)
        other.execute("COMMIT")  # the lock is to be had in the moment of the interrupt

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=200)
    except KeyboardInterrupt:
        interrupts += 1
    thread.join()
    other.execute("PRAGMA busy_timeout = 2000")
    other.execute("BEGIN IMMEDIATE")  # nobody holds the lock
    other.execute("ROLLBACK")
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
print(interrupts)
"""


def test_ctrl_c_while_a_lock_is_waited_for_leaves_no_lock(url: str, tmp_path: Path) -> None:
    path = url.removeprefix("sqlite:///")
    with start_python(INTERRUPTED, url, path) as child:
        assert int(child.answer()) == 20


# Threads and copies


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


def test_a_forked_process_outlives_its_parent(url: str) -> None:
    run(
        """
        import signal
        ours = Storage(url)
        study_id = ours.create_new_study([StudyDirection.MINIMIZE], "study")
        parents_end, held_by_parent = os.pipe()
        if os.fork() == 0:
            os.close(held_by_parent)
            os.read(parents_end, 1)
            trial_id = ours.create_new_trial(study_id)
            ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        url,
    )
    assert [trial.values for trial in Storage(url).get_all_trials(1)] == [[1.0]]


def test_a_fork_waits_for_what_other_threads_write(url: str) -> None:
    run(
        """
        import threading
        ours = Storage(url)
        study_id = ours.create_new_study([StudyDirection.MINIMIZE], "study")

        def finish_a_trial():
            trial_id = ours.create_new_trial(study_id)
            ours.set_trial_intermediate_value(trial_id, 0, 0.5)
            ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])

        def write():
            while not over.is_set():
                finish_a_trial()

        over = threading.Event()
        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                finish_a_trial()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        writer.join()
        """,
        url,
    )
    trials = Storage(url).get_all_trials(1)
    assert len(trials) >= 20
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(trial.intermediate_values == {0: 0.5} for trial in trials)


def test_thirty_processes_open_a_new_file_at_once(url: str) -> None:
    run(
        """
        import multiprocessing
        context = multiprocessing.get_context("fork")
        start = context.Barrier(30)

        def open_():
            start.wait()
            Storage(url).create_new_study([StudyDirection.MINIMIZE])

        children = [context.Process(target=open_) for _ in range(30)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0] * 30
        """,
        url,
    )
    assert len(Storage(url).get_all_studies()) == 30


def test_a_queued_trial_is_handed_out_once(url: str) -> None:
    study = optuna.create_study(storage=Storage(url), study_name="study")
    for x in range(60):
        study.enqueue_trial({"x": x})
    printed = run(
        """
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
        study = optuna.load_study(storage=Storage(url), study_name="study")
        study.optimize(curve, n_trials=25)
        """,
        url,
        processes=4,
    )
    trials = Storage(url).get_all_trials(1)
    assert [trial.number for trial in trials] == list(range(100))
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 100
    for trial in trials:
        assert trial.intermediate_values == {s: trial.params["x"] + s for s in range(20)}


# The stock dashboard


@pytest.mark.parametrize("opened_as", ["ours", "stock"])
def test_the_dashboard_polls_while_processes_write(
    opened_as: str, url: str, open_stock: Callable[[str], RDBStorage]
) -> None:
    a_study(Storage(url))
    storage = Storage(url, read_only=True) if opened_as == "ours" else open_stock(url)
    write = """
        study = optuna.load_study(storage=Storage(url), study_name="study")
        for _ in sys.stdin:
            study.optimize(curve, n_trials=20)
        """
    seen = [0]
    with start(write, url) as one, start(write, url) as other:
        one.until_ready()
        other.until_ready()
        one.let_go()  # of `ready`
        other.let_go()
        for written in range(40, 240, 40):
            one.let_go()
            other.let_go()
            while seen[-1] < written:
                assert one.poll() is other.poll() is None
                seen.append(len(page(storage, "/api/studies/1")["trials"]))
        one.answer()
        other.answer()
    assert seen == sorted(seen)
    assert len(page(storage, "/api/studies/1")["trials"]) == len(Storage(url).get_all_trials(1))


def test_the_dashboard_shows_what_a_trial_is(url: str) -> None:
    optimize(Storage(url))
    shown = page(Storage(url, read_only=True), "/api/studies/1")
    assert len(shown["trials"]) == 13


def page(storage: BaseStorage, path: str) -> Any:
    """Return what the dashboard answers to a GET."""
    request: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(request)
    status: list[str] = []
    app = wsgi(storage)  # a new one keeps no trials of seconds ago
    body = b"".join(app(request, lambda code, *_: status.append(code)))
    assert status == ["200 OK"], body
    return json.loads(body)
