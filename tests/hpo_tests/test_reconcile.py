"""A study that the dashboard renames while it runs: nothing stays lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import databases
import optuna
import pytest
from databases import COMPLETE, PARAMS, problems, slots_of, sql, steps, url_of
from sqlalchemy import Engine

from hpo.errors import SlotTakenOver
from hpo.store.attempt import Claim, Outcome
from hpo.store.engine import writing
from hpo.store.ledger import Ledger
from hpo.store.optuna_storage import Storage
from hpo.store.reconcile import reconcile
from hpo.study import Stage


@pytest.fixture
def stage(engine: Engine) -> Stage:
    return databases.started(engine, 6)


@pytest.fixture
def ledger(engine: Engine, stage: Stage) -> Ledger:
    """Return a ledger that has counted two slots and runs the third, which reported once."""
    ledger = databases.ledger_of(engine, stage)
    databases.run_one(ledger)
    databases.run_one(ledger)
    claim = take(ledger)
    assert ledger.beat([(claim, steps(0.125))]) == []
    return ledger


def take(ledger: Ledger) -> Claim:
    claim = databases.take(ledger)
    assert claim is not None
    return claim


@contextmanager
def renamed(path: Path) -> Iterator[None]:
    """Do what the dashboard does; what the block does happens while it copies."""
    storage = optuna.storages.RDBStorage(url_of(path))
    source = optuna.load_study(study_name="s/1", storage=storage)
    target = optuna.create_study(study_name="new", storage=storage, directions=source.directions)
    target.add_trials(source.get_trials(deepcopy=False))
    yield
    for key, value in source.user_attrs.items():
        target.set_user_attr(key, value)
    storage.delete_study(source._study_id)
    storage.engine.dispose()


def finish_all(ledger: Ledger) -> None:
    while databases.run_one(ledger) is not None:
        pass


def reasons(path: Path) -> list[tuple[int, str]]:
    join = "JOIN hpo_slots ON hpo_slots.id = slot_id"
    return sql(path, f"SELECT slot, hpo_retries.reason FROM hpo_retries {join} ORDER BY 1")  # type: ignore[return-value]


def test_a_result_that_the_copy_lacks_is_computed_again(ledger: Ledger, path: Path) -> None:
    held = Claim(2, 1, 3, 3, PARAMS)
    with renamed(path):
        ledger.finish(held, Outcome("complete", 0.75, 1.0, diverged_at=1), steps(0.125, 0.25)[1:])
        assert slots_of(path)[2] == (2, "complete", 1)
    databases.run_one(ledger)
    again = take(ledger)
    assert (again.slot, again.attempt, again.params) == (2, 2, PARAMS)
    assert slots_of(path, "slot, seconds, diverged_at")[2] == (2, None, None)
    ledger.finish(again, Outcome("complete", 0.75, 1.0), steps(0.125, 0.25))
    finish_all(ledger)
    assert reasons(path) == [(2, "copied")]
    assert problems(path) == []


def test_trials_that_began_after_the_copy_are_made_again(ledger: Ledger, path: Path) -> None:
    with renamed(path):
        held = take(ledger)
        databases.run_one(ledger)
    with pytest.raises(SlotTakenOver):
        ledger.finish(held, COMPLETE, steps(0.5))
    assert ledger.beat([(held, steps(0.5))]) == [held]
    assert [state for _, state, _ in slots_of(path)] == [
        "complete", "complete", "running", "open", "open", "open",
    ]  # fmt: skip
    finish_all(ledger)
    assert reasons(path) == [(3, "copied"), (4, "copied")]
    assert [row[2] for row in slots_of(path)] == [1, 1, 1, 2, 2, 1]


def test_the_curve_of_a_running_trial_is_whole_again(ledger: Ledger, path: Path) -> None:
    held = Claim(2, 1, 3, 3, PARAMS)
    with renamed(path):
        assert ledger.beat([(held, steps(0, 0.25)[1:])]) == []
    assert ledger.beat([(held, steps(0, 0, 0.5)[2:])]) == []
    assert problems(path) == []
    study = optuna.load_study(study_name="new", storage=url_of(path))
    assert study.trials[2].intermediate_values == {0: 0.125, 1: 0.25, 2: 0.5}
    ledger.finish(held, COMPLETE, [])
    finish_all(ledger)
    assert reasons(path) == []
    assert problems(path) == []


def test_a_stage_that_ended_during_the_copy_is_open_again(
    ledger: Ledger, engine: Engine, stage: Stage, path: Path
) -> None:
    held = Claim(2, 1, 3, 3, PARAMS)
    with renamed(path):
        ledger.finish(held, COMPLETE, [])
        finish_all(ledger)
        assert not databases.the_stage(engine).open
    with writing(engine) as connection:
        reconcile(connection, stage, "score")
    assert databases.the_stage(engine).open
    assert problems(path) == []
    finish_all(databases.ledger_of(engine, stage))
    assert not databases.the_stage(engine).open
    assert problems(path) == []


def test_a_stage_is_not_finished_before_the_copy_has_its_results(
    ledger: Ledger, engine: Engine, path: Path
) -> None:
    held = Claim(2, 1, 3, 3, PARAMS)
    with renamed(path):
        ledger.finish(held, COMPLETE, [])
        finish_all(ledger)
        assert ledger.finished()
    assert not databases.the_stage(engine).open
    assert not ledger.finished()
    assert databases.the_stage(engine).open
    finish_all(ledger)
    assert ledger.finished()
    assert ledger.counted() == 6
    assert problems(path) == []


def test_a_trial_that_was_put_back_into_the_queue_runs_again(ledger: Ledger, path: Path) -> None:
    storage = Storage(url_of(path))
    storage.set_trial_state_values(3, optuna.trial.TrialState.WAITING)
    held = Claim(2, 1, 3, 3, PARAMS)
    with pytest.raises(SlotTakenOver):
        ledger.finish(held, COMPLETE, [])
    again = take(ledger)
    assert (again.slot, again.attempt, again.params) == (2, 2, PARAMS)
    ledger.finish(again, COMPLETE, steps(0.5))
    finish_all(ledger)
    assert reasons(path) == [(2, "requeued")]
    assert problems(path) == []


def leave(path: Path) -> None:
    """Change nothing."""


def hole(path: Path) -> None:
    sql(path, "DELETE FROM trial_params WHERE trial_id = 1")
    sql(path, "DELETE FROM trial_values WHERE trial_id = 1")
    sql(path, "DELETE FROM trial_intermediate_values WHERE trial_id = 1")
    sql(path, "DELETE FROM trials WHERE trial_id = 1")


def delete(path: Path) -> None:
    optuna.delete_study(study_name="s/1", storage=url_of(path))


@pytest.mark.parametrize("change", [leave, hole, delete])
def test_where_no_copy_was_made_nothing_is_changed(
    change: Callable[[Path], None], ledger: Ledger, engine: Engine, stage: Stage, path: Path
) -> None:
    change(path)
    tables = ("hpo_slots", "hpo_retries", "hpo_stages", "trials", "trial_intermediate_values")
    before = [sql(path, f"SELECT * FROM {name}") for name in tables]
    with writing(engine) as connection:
        reconcile(connection, stage, "score")
    assert [sql(path, f"SELECT * FROM {name}") for name in tables] == before
