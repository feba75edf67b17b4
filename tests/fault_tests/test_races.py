"""Several processes want the same at the same moment: every slot is run once, the budget is exact.

A race that did not happen proves nothing, so each test counts how often one came second.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import databases
import ledger_children as children
import pytest
from databases import problems, slots_of, sql, started
from ledger_children import all_at_once, ask, told
from processes import Child, start_call

from hpo.errors import StateError
from hpo.store import migrations, sqlite_file, studies
from hpo.store.engine import writing


@pytest.fixture(scope="module")
def crew(soak: bool) -> Iterator[list[Child]]:
    """Processes that wait for their tasks."""
    with ExitStack() as stack:
        started = [start_call(children.serve) for _ in range(16 if soak else 8)]
        yield [stack.enter_context(child) for child in started]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hpo.db"


def counted(path: Path, study: int) -> list[tuple[int, str, int]]:
    """Return slot, state and attempt of the slots of a study, as a person finds them."""
    return sql(  # type: ignore[return-value]
        path,
        "SELECT slot, state, attempt FROM hpo_slots JOIN hpo_stages ON stage_id = hpo_stages.id "
        "WHERE study_id = ? ORDER BY slot",
        study,
    )


def run_once(budget: int) -> list[tuple[int, str, int]]:
    return [(slot, "complete", 1) for slot in range(budget)]


def test_each_slot_is_claimed_by_one(crew: list[Child], path: Path, soak: bool) -> None:
    processes, rounds, budget = (16, 50, 150) if soak else (4, 3, 150)
    engine = databases.new(path)
    conflicts = 0
    for study in range(1, rounds + 1):
        started(engine, budget, f"round-{study}")
        told = all_at_once(crew[:processes], children.run_open_slots, path, study)
        done = sorted(slot for each in told for slot, _ in each["done"])
        assert done == list(range(budget))
        assert counted(path, study) == run_once(budget)
        numbers = sql(path, "SELECT number FROM trials WHERE study_id = ? ORDER BY 1", study)
        assert numbers == [(number,) for number in range(budget)]
        conflicts += sum(each["conflicts"] for each in told)
    assert conflicts > rounds, "they never wanted the same slot"
    assert problems(path) == []


def test_a_new_file_is_made_by_all_at_once(crew: list[Child], tmp_path: Path, soak: bool) -> None:
    processes, rounds = (16, 50) if soak else (6, 20)
    makers = 0
    for number in range(rounds):
        path = tmp_path / f"{number}.db"
        makers += sum(all_at_once(crew[:processes], children.make_database, path))
        for table in (migrations.VERSION_TABLE, "alembic_version", "version_info"):
            assert sql(path, f"SELECT count(*) FROM {table}") == [(1,)]
        databases.run_one(databases.ledger_of(engine := databases.new(path), started(engine)))
        assert problems(path) == []
    assert makers > rounds, "all but one came when the tables were there"


def test_who_makes_the_journal_waits_for_who_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The narrowest moment of the race above, which SQLite refuses instead of waiting."""
    databases.new(path).dispose()
    sql(path, "PRAGMA journal_mode = DELETE")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        writer.rollback()

    monkeypatch.setattr(sqlite_file, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    with writing(databases.new(path)) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert len(waited) == 1
    writer.close()


def test_the_budget_is_exact_for_any_number_of_processes(crew: list[Child], path: Path) -> None:
    engine = databases.new(path)
    study = 0
    for processes in (1, 2, 4, 8):
        for budget in (1, 7, 50):
            study += 1
            started(engine, budget, f"{processes}-{budget}")
            told = all_at_once(crew[:processes], children.run_open_slots, path, study)
            assert sum(len(each["done"]) for each in told) == budget
            assert counted(path, study) == run_once(budget)
    assert problems(path) == []


def test_a_full_stage_is_not_run_again(crew: list[Child], path: Path) -> None:
    started(databases.new(path), 7)
    all_at_once(crew[:4], children.run_open_slots, path, 1)
    before = slots_of(path, "*"), sql(path, "SELECT * FROM trials")
    for _ in range(3):
        told = all_at_once(crew[:4], children.run_open_slots, path, 1)
        assert told == [{"done": [], "conflicts": 0}] * 4
    assert (slots_of(path, "*"), sql(path, "SELECT * FROM trials")) == before
    assert problems(path) == []


def test_the_budget_is_raised_while_they_work(crew: list[Child], path: Path, soak: bool) -> None:
    engine = databases.new(path)
    study, stage = databases.begun(engine, 10)
    ledger = databases.ledger_of(engine, stage)
    held = databases.take(ledger)  # as long as it runs, the stage goes on
    assert held is not None
    workers = crew[:4]
    for worker in workers:
        ask(worker, children.run_until_finished, path, 1)
    for budget in range(20, 2020 if soak else 80, 10):
        workers[0].until(lambda: slots_of(path)[-1][1] == "complete")
        with writing(engine) as connection:
            stage = studies.find_stage(connection, study, 1)
            assert stage.open
            raised = studies.raise_budget(connection, study, stage, budget)
        assert raised.budget == budget
        assert ledger.beat([(held, [])]) == []
        with (
            pytest.raises(StateError, match="can only grow"),
            writing(engine) as connection,
        ):
            studies.raise_budget(connection, study, raised, budget - 1)
    ledger.finish(held, databases.COMPLETE, [])
    shares = [told(worker) for worker in workers]
    assert sum(shares) == budget - 1
    assert sum(share > 0 for share in shares) > 1, "only one of them worked"
    assert slots_of(path) == run_once(budget)
    assert not databases.the_stage(engine).open
    assert problems(path) == []


def test_of_budgets_raised_at_once_the_largest_counts(crew: list[Child], path: Path) -> None:
    engine = databases.new(path)
    started(engine, 1)
    refused = 0
    for number in range(5):
        budgets = [10 * number + 10 - process for process in range(8)]
        for child, budget in zip(crew, budgets, strict=False):
            ask(child, children.try_to_raise, path, budget)
        refused += [told(child) for child in crew[:8]].count(False)
        assert databases.the_stage(engine).budget == budgets[0]
        assert problems(path) == []
    assert refused > 0, "they never came in the wrong order"
