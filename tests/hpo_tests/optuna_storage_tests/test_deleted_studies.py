"""A study that is deleted while `hpo.Storage` uses it: SQLite gives its ids to the next one."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from optuna_studies import a_study, optimize, record, run

from hpo.store.optuna_storage import Storage

UNIT = FloatDistribution(0, 1)
CHOICE = CategoricalDistribution(["a", "b"])


@pytest.fixture
def stock(url: str, open_stock: Callable[[str], RDBStorage]) -> RDBStorage:
    return open_stock(url)


def replace(
    storage: BaseStorage, direction: StudyDirection = StudyDirection.MINIMIZE, trials: int = 1
) -> list[int]:
    """Delete the study, and make another with its id and some running trials."""
    study_id = storage.get_study_id_from_name("study")
    storage.delete_study(study_id)
    assert storage.create_new_study([direction], "study") == study_id
    return [storage.create_new_trial(study_id) for _ in range(trials)]


def is_untouched(storage: BaseStorage, trial_id: int) -> bool:
    trial = storage.get_trial(trial_id)
    told = (trial.params, trial.intermediate_values, trial.user_attrs, trial.system_attrs)
    return told == ({}, {}, {}, {}) and (trial.state, trial.value) == (TrialState.RUNNING, None)


def refuses_to_write(storage: Storage, trial_id: int) -> None:
    writes: list[Callable[[], object]] = [
        lambda: storage.set_trial_param(trial_id, "x", 0.5, UNIT),
        lambda: storage.set_trial_intermediate_value(trial_id, 1, 0.5),
        lambda: storage.set_trial_user_attr(trial_id, "key", 1),
        lambda: storage.set_trial_system_attr(trial_id, "key", 1),
        lambda: storage.set_trial_state_values(trial_id, TrialState.WAITING),
        lambda: storage.set_trial_state_values(trial_id, TrialState.FAIL),
        lambda: storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0]),
    ]
    for write in writes:
        with pytest.raises(KeyError, match=f"id {trial_id} .* is gone"):
            write()


# Who still runs a trial of it


def finish(ours: Storage, trial_id: int) -> None:
    with pytest.raises(KeyError, match="is gone"):
        ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])


def requeue(ours: Storage, trial_id: int) -> None:
    with pytest.raises(KeyError, match="is gone"):
        ours.set_trial_state_values(trial_id, TrialState.WAITING)


def report_much(ours: Storage, trial_id: int) -> None:
    def report() -> None:
        for step in range(1000):
            ours.set_trial_intermediate_value(trial_id, step, 0.5)

    with pytest.raises(KeyError, match="is gone"):
        report()


def read_the_new_study(ours: Storage, trial_id: int) -> None:
    (trial,) = ours.get_all_trials(1)
    assert trial.params == {}


def flush(ours: Storage, trial_id: int) -> None:
    ours.remove_session()


@pytest.mark.parametrize("act", [finish, requeue, report_much, read_the_new_study, flush])
def test_its_writer_does_not_touch_the_trial_with_the_same_id(
    url: str, stock: RDBStorage, act: Callable[[Storage, int], None]
) -> None:
    ours = Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    ours.set_trial_intermediate_value(trial_id, 0, 0.5)
    assert replace(stock) == [trial_id]
    act(ours, trial_id)
    refuses_to_write(ours, trial_id)
    ours.remove_session()
    assert is_untouched(stock, trial_id)
    assert is_untouched(ours, trial_id)


def test_it_is_replaced_by_another_process(url: str) -> None:
    study = optuna.create_study(storage=Storage(url), study_name="study")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, 0)
    run(
        """
        optuna.delete_study(study_name="study", storage=Storage(url))
        study = optuna.create_study(study_name="other", storage=Storage(url))
        study.ask()
        """,
        url,
    )
    with pytest.raises(KeyError, match="is gone"):
        study.tell(trial, 1.0)
    (others,) = optuna.load_study(study_name="other", storage=Storage(url)).trials
    assert others._trial_id == trial._trial_id
    assert is_untouched(Storage(url), others._trial_id)


@pytest.mark.parametrize("looked", [False, True])
def test_a_trial_whose_id_nobody_has_is_gone_too(url: str, stock: RDBStorage, looked: bool) -> None:
    ours = Storage(url)
    study_id = a_study(ours)
    first, second = (ours.create_new_trial(study_id) for _ in range(2))
    ours.set_trial_param(second, "x", 0.5, UNIT)
    assert replace(stock) == [first]
    if looked:
        assert len(ours.get_all_trials(study_id)) == 1
    with pytest.raises(KeyError, match="is gone"):  # not that the two ranges contradict each other
        ours.set_trial_param(second, "y", 0, CHOICE)
    mine = ours.create_new_trial(study_id)
    ours.set_trial_param(mine, "x", 0, CHOICE)
    assert ours.get_trial(mine).params == {"x": "a"}


def test_a_trial_that_was_ended_before_is_not_mistaken_for_the_next(
    url: str, stock: RDBStorage
) -> None:
    ours = Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    stock.set_trial_state_values(trial_id, TrialState.FAIL)
    assert ours.get_all_trials(1)[0].state == TrialState.FAIL
    assert replace(stock) == [trial_id]
    for _ in range(2):
        with pytest.raises(UpdateFinishedTrialError):
            ours.set_trial_intermediate_value(trial_id, 0, 0.5)
    assert is_untouched(stock, trial_id)


def test_who_deletes_it_does_not_write_to_the_next_one(url: str, stock: RDBStorage) -> None:
    ours = Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    ours.delete_study(1)
    assert stock.create_new_trial(a_study(stock)) == trial_id
    refuses_to_write(ours, trial_id)
    assert is_untouched(stock, trial_id)


@pytest.mark.parametrize("queued", [False, True])
def test_an_id_is_written_again_by_who_starts_a_trial_with_it(
    url: str, stock: RDBStorage, queued: bool
) -> None:
    ours = Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    replace(stock)
    finish(ours, trial_id)
    replace(stock, trials=0)
    study = optuna.load_study(study_name="study", storage=ours)
    if queued:
        study.enqueue_trial({"x": 0.25})
    trial = study.ask()
    assert trial._trial_id == trial_id
    trial.suggest_float("x", 0.25, 0.25)
    study.tell(trial, 1.0)
    (told,) = stock.get_all_trials(1)
    assert (told.params, told.value) == ({"x": 0.25}, 1.0)


@pytest.mark.parametrize("started", [False, True])
def test_a_trial_that_another_process_queues_again_is_not_written_by_two(
    url: str, started: bool
) -> None:
    ours, other = Storage(url), Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_intermediate_value(trial_id, 0, 0.5)
    other.set_trial_state_values(trial_id, TrialState.WAITING)
    if started:
        other.set_trial_state_values(trial_id, TrialState.RUNNING)
    ours.remove_session()
    refuses_to_write(ours, trial_id)
    assert other.set_trial_state_values(trial_id, TrialState.RUNNING) is not started
    assert is_untouched(other, trial_id)


# Who knows its trials


def test_its_id_brings_back_nothing_of_it(url: str, stock: RDBStorage) -> None:
    ours = Storage(url)
    study = optuna.create_study(storage=ours, study_name="study")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert len(study.trials) == 3
    replace(stock, StudyDirection.MAXIMIZE, trials=0)
    again = optuna.load_study(study_name="study", storage=stock)
    again.optimize(lambda trial: trial.suggest_categorical("x", [7]), n_trials=4)
    assert record(ours) == record(stock)
    assert ours.get_best_trial(study._study_id).value == 7


def test_a_queued_trial_at_its_end_does_not_hide_the_next_study(
    url: str, stock: RDBStorage
) -> None:
    ours = Storage(url)
    study = optuna.create_study(storage=stock, study_name="study")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.enqueue_trial({"x": 0.5})
    assert record(ours) == record(stock)
    *_, last = replace(stock, trials=3)
    stock.set_trial_state_values(last, TrialState.COMPLETE, [5.0])
    assert record(ours) == record(stock)
    assert ours.get_best_trial(1).value == 5


@pytest.mark.parametrize("queued", [0, 4])
def test_the_next_study_may_have_other_directions(url: str, stock: RDBStorage, queued: int) -> None:
    ours = Storage(url)
    for direction in ("minimize", "maximize"):
        study = optuna.create_study(storage=stock, study_name="study", direction=direction)
        for _ in range(queued):
            study.enqueue_trial({})
        assert len(ours.get_all_trials(study._study_id)) == queued
        if direction == "minimize":
            stock.delete_study(study._study_id)
    for value in (1.0, 3.0, 2.0):
        study.tell(study.ask(), value)
    assert ours.get_best_trial(study._study_id).value == 3


@pytest.mark.parametrize("by", ["an own trial", "a queued trial", "another's trial"])
def test_the_next_study_may_have_other_ranges(url: str, stock: RDBStorage, by: str) -> None:
    ours = Storage(url)
    study_id = a_study(ours)
    trial_id = ours.create_new_trial(study_id)
    ours.set_trial_param(trial_id, "x", 0.5, UNIT)
    ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    (next_id,) = replace(stock)
    if by == "an own trial":
        next_id = ours.create_new_trial(study_id)
    elif by == "a queued trial":
        waiting = optuna.trial.create_trial(state=TrialState.WAITING)
        next_id = stock.create_new_trial(study_id, waiting)
        assert ours.set_trial_state_values(next_id, TrialState.RUNNING)
    ours.set_trial_param(next_id, "x", 1, CHOICE)
    ours.remove_session()
    assert stock.get_trial(next_id).params == {"x": "b"}


def test_a_study_that_is_still_there_is_not_read_again(url: str, stock: RDBStorage) -> None:
    ours = Storage(url)
    study = optuna.create_study(storage=stock, study_name="study")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    before, after = (ours.get_all_trials(1, deepcopy=False) for _ in range(2))
    assert [id(trial) for trial in before] == [id(trial) for trial in after]


def test_a_range_holds_before_it_is_written(url: str) -> None:
    ours = Storage(url)
    study_id = a_study(ours)
    ours.set_trial_param(ours.create_new_trial(study_id), "x", 0.5, UNIT)
    with pytest.raises(ValueError, match="Cannot set different distribution kind"):
        ours.set_trial_param(ours.create_new_trial(study_id), "x", 0, CHOICE)


def test_a_finished_trial_is_not_shown_for_the_next_with_its_id(
    url: str, stock: RDBStorage
) -> None:
    ours = Storage(url)
    trial_id = ours.create_new_trial(a_study(ours))
    ours.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert replace(stock) == [trial_id]
    assert is_untouched(ours, trial_id)


def test_deleting_it_leaves_no_row(url: str, tmp_path: Path) -> None:
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
