"""The slot ledger: exact budgets, fences, and nothing half-written, with real processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import databases
import optuna
import pytest
from databases import COMPLETE, LOST, PARAMS, ledger_of, run_one, slots_of, sql, started, steps
from processes import start_call, together
from sqlalchemy import Engine

import hpo
from hpo.errors import SlotTakenOver, StateError
from hpo.store import lease, owner, studies
from hpo.store.attempt import Claim, Outcome, Step
from hpo.store.engine import reading, writing
from hpo.store.ledger import Ledger
from hpo.store.optuna_storage import Storage
from hpo.store.trials import stage_curves, stage_trials
from hpo.trial import TrialState

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: no\n'
FAILED = Outcome("failed", None, 1.0, reason="error", error=TRACEBACK)


def take(ledger: Ledger) -> Claim:
    claim = databases.take(ledger)
    assert claim is not None
    return claim


def optuna_trials(path: Path) -> list[optuna.trial.FrozenTrial]:
    """Return the trials of stage 1 as Optuna's own storage reads them."""
    storage = optuna.storages.RDBStorage(databases.url_of(path))
    try:
        (study,) = [
            s for s in storage.get_all_studies() if studies.STAGE_ATTR in (s.user_attrs or {})
        ]
        return storage.get_all_trials(study._study_id)
    finally:
        storage.engine.dispose()


def retries_of(path: Path) -> list[tuple[int, int, str]]:
    """Return slot, attempt and reason of the attempts that did not count."""
    join = "JOIN hpo_slots ON hpo_slots.id = slot_id"
    columns = "slot, hpo_retries.attempt, hpo_retries.reason"
    return sql(path, f"SELECT {columns} FROM hpo_retries {join} ORDER BY 1, 2")  # type: ignore[return-value]


# Claims


def test_the_lowest_open_slot_is_claimed_first(engine: Engine, path: Path) -> None:
    ledger = ledger_of(engine, started(engine, 4))
    claims = [take(ledger) for _ in range(4)]
    assert [claim.slot for claim in claims] == [0, 1, 2, 3]
    assert [claim.attempt for claim in claims] == [1] * 4
    assert ledger.next_open() is None
    ledger.release([claims[2]])
    ledger.release([claims[1]])
    again = take(ledger)
    assert (again.slot, again.attempt) == (1, 2)
    assert again.trial_id == claims[1].trial_id
    assert [t.number for t in optuna_trials(path)] == [0, 1, 2, 3]


def test_a_later_attempt_keeps_the_parameters_and_drops_the_lost_curve(
    engine: Engine, path: Path
) -> None:
    stage = started(engine, 1)
    ledger = ledger_of(engine, stage)
    first = take(ledger)
    assert first.params == PARAMS
    assert ledger.beat([(first, steps(0.1, 0.2, 0.3))]) == []
    assert optuna_trials(path)[0].intermediate_values == {0: 0.1, 1: 0.2, 2: 0.3}
    ledger.release([first])
    opening = ledger.next_open()
    assert opening is not None
    assert opening.params == PARAMS
    second = ledger.claim(0, {**PARAMS, "n": 9}, seed=7)
    assert second is not None
    assert second.params == PARAMS
    assert optuna_trials(path)[0].intermediate_values == {}
    ledger.finish(second, COMPLETE, steps(0.9))
    assert optuna_trials(path)[0].intermediate_values == {0: 0.9}
    with reading(engine) as connection:
        # what the first attempt reported is kept, and not shown
        assert [(row[1], row[4]["score"]) for row in stage_curves(connection, stage)] == [(2, 0.9)]
    assert sql(path, "SELECT count(*) FROM hpo_curves WHERE attempt = 1") == [(3,)]


def test_the_budget_is_exact_with_four_processes(engine: Engine, path: Path) -> None:
    started(engine, 50)
    printed = together([start_call(databases.work, path, 7) for _ in range(4)])
    done = sorted(tuple(pair) for line in printed for pair in json.loads(line))
    expected = [(slot, 2 if slot % 7 == 0 else 1) for slot in range(50)]
    assert done == expected
    assert slots_of(path) == [(slot, "complete", attempt) for slot, attempt in expected]
    found = optuna_trials(path)
    assert [(t.number, t.value, t.state.name) for t in found] == [
        (slot, float(slot), "COMPLETE") for slot in range(50)
    ]
    assert not databases.the_stage(engine).open
    assert databases.problems(path) == []


# The fence


def lost_to_another_attempt(path: Path) -> None:
    sql(path, "UPDATE hpo_slots SET attempt = attempt + 1")


def lost_to_another_owner(path: Path) -> None:
    sql(path, "UPDATE hpo_slots SET owner = 'boot/namespace/1/1/1'")


def lost_to_nobody(path: Path) -> None:
    sql(path, "UPDATE hpo_slots SET state = 'open', owner = NULL")


def finished_by_another(path: Path) -> None:
    sql(path, "UPDATE hpo_slots SET state = 'complete', owner = NULL")


def contents(path: Path) -> list[object]:
    tables = [name for (name,) in sql(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [sql(path, f"SELECT * FROM {name}") for name in sorted(tables)]


@pytest.mark.parametrize(
    "lost",
    [lost_to_another_attempt, lost_to_another_owner, lost_to_nobody, finished_by_another],
)
def test_who_lost_a_slot_writes_nothing(
    lost: Callable[[Path], None], engine: Engine, path: Path
) -> None:
    stage = started(engine, 1)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    lost(path)
    before = contents(path)
    writes: list[Callable[[], object]] = [
        lambda: ledger.finish(claim, COMPLETE, steps(0.5)),
        lambda: ledger.lose(claim, 3, LOST),
        lambda: ledger.lose(claim, 1, LOST),
    ]
    for write in writes:
        with pytest.raises(StateError, match="Trial 0 of s/1 was taken over"):
            write()
    assert ledger.beat([(claim, steps(0.5))]) == [claim]
    ledger.release([claim])
    assert contents(path) == before


def test_a_finished_slot_is_not_finished_again(engine: Engine, path: Path) -> None:
    stage = started(engine, 1)
    ledger = ledger_of(engine, stage)
    claim = run_one(ledger)
    assert claim is not None
    before = contents(path)
    with pytest.raises(StateError):
        ledger.finish(claim, FAILED, [])
    with pytest.raises(StateError):
        ledger.lose(claim, 1, LOST)
    ledger.release([claim])
    assert contents(path) == before


def test_a_trial_that_optuna_finished_is_not_overwritten(engine: Engine, path: Path) -> None:
    stage = started(engine, 1)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    study = optuna.load_study(study_name="s/1", storage=Storage(databases.url_of(path)))
    study.tell(0, 0.125)
    with pytest.raises(SlotTakenOver, match="ended by another program"):
        ledger.finish(claim, COMPLETE, steps(0.5))
    assert slots_of(path, "slot, state, attempt, reason") == [(0, "complete", 1, "told")]
    assert sql(path, "SELECT count(*) FROM hpo_curves") == [(0,)]
    assert study.trials[0].value == 0.125
    assert not databases.the_stage(engine).open
    assert databases.problems(path) == []


def test_a_waiting_trial_that_a_person_ended_is_counted_by_the_next_supervisor(
    engine: Engine, path: Path
) -> None:
    stage = started(engine, 2)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    ledger.beat([(claim, steps(0.5))])
    ledger.release([claim])
    optuna.load_study(study_name="s/1", storage=Storage(databases.url_of(path))).tell(0, 0.125)
    later = ledger_of(engine, stage)
    assert later.claim(1, PARAMS, seed=1)
    assert slots_of(path) == [(0, "complete", 2), (1, "running", 1)]
    assert databases.problems(path) == []


# Lost workers


def test_a_slot_is_lost_until_its_attempts_are_used_up(engine: Engine, path: Path) -> None:
    stage = started(engine, 1)
    ledger = ledger_of(engine, stage)
    assert ledger.lose(take(ledger), 3, LOST)
    ledger.release([take(ledger)])  # given back, not lost: does not count
    assert ledger.lose(take(ledger), 3, LOST)
    assert databases.the_stage(engine).open
    assert not ledger.lose(take(ledger), 3, LOST)
    assert slots_of(path, "state, attempt, reason, seconds, owner, lease") == [
        ("failed", 4, "lost", 2.5, None, None)
    ]
    assert retries_of(path) == [(0, 1, "lost"), (0, 2, "cancelled"), (0, 3, "lost")]
    (trial,) = optuna_trials(path)
    assert (trial.state.name, trial.values, trial.user_attrs) == (
        "FAIL",
        None,
        {"error": LOST.error},
    )
    assert not databases.the_stage(engine).open
    assert ledger.next_open() is None


def test_slots_of_a_dead_owner_are_free_at_once_and_of_a_living_one_not(
    engine: Engine, path: Path
) -> None:
    ledger = ledger_of(engine, started(engine, 3))
    mine = take(ledger)
    wait = databases.claim_and_wait
    with start_call(wait, path) as dead, start_call(wait, path) as living:
        dead.until_ready()
        living.until_ready()
        assert ledger.next_open() is None
        dead.kill()
        dead.wait()
        again = take(ledger)
        assert (again.attempt, again.params) == (2, PARAMS)
        assert ledger.next_open() is None
        assert [state for _, state, _ in slots_of(path)] == ["running"] * 3
        living.communicate("go\n")
    last = take(ledger)  # its process has ended, without a word
    assert sorted(claim.slot for claim in (mine, again, last)) == [0, 1, 2]
    for claim in (again, mine, last):
        ledger.finish(claim, COMPLETE, [])
    assert [reason for _, _, reason in retries_of(path)] == ["abandoned"] * 2
    assert databases.problems(path) == []


def test_a_dead_owners_slot_comes_before_later_open_ones(engine: Engine, path: Path) -> None:
    ledger = ledger_of(engine, started(engine, 3))
    first, second = take(ledger), take(ledger)
    ledger.finish(second, COMPLETE, [])
    opening = ledger.next_open()
    assert opening is not None
    assert opening.slot == 2
    sql(path, "UPDATE hpo_slots SET owner = 'boot/namespace/1/1/1' WHERE slot = 0")
    again = take(ledger)
    assert (again.slot, again.attempt) == (first.slot, 2)


def test_slots_of_another_stage_are_not_taken(engine: Engine, path: Path) -> None:
    ledger, other = (ledger_of(engine, started(engine, 1, name)) for name in "ab")
    take(ledger)
    take(other)
    sql(path, "UPDATE hpo_slots SET owner = 'boot/namespace/1/1/1' WHERE id = 1")
    assert other.next_open() is None
    assert take(ledger).attempt == 2


# Leases


def test_a_lease_that_is_over_gives_the_slot_to_who_wants_it(
    engine: Engine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = started(engine, 1)
    paused, other = ledger_of(engine, stage), ledger_of(engine, stage)
    claim = take(paused)
    assert other.next_open() is None
    monkeypatch.setattr(lease, "LEASE_S", -1.0)
    assert paused.beat([(claim, steps(0.5))]) == []  # over, but nobody wanted it: still its own
    taken = take(other)
    assert (taken.slot, taken.attempt) == (0, 2)
    assert retries_of(path) == [(0, 1, "expired")]
    assert paused.beat([(claim, steps(0.5, 0.75))]) == [claim]
    with pytest.raises(SlotTakenOver):
        paused.finish(claim, COMPLETE, steps(0.5, 0.75))
    other.finish(taken, Outcome("complete", 0.25, 1.0), steps(0.25))
    assert optuna_trials(path)[0].intermediate_values == {0: 0.25}
    assert databases.problems(path) == []


def test_a_beat_extends_every_lease_and_nothing_else_does(engine: Engine, path: Path) -> None:
    ledger = ledger_of(engine, started(engine, 3))
    claims = [take(ledger), take(ledger)]

    def leases() -> list[float]:
        return [end for (end,) in slots_of(path, "lease") if end is not None]

    sql(path, "UPDATE hpo_slots SET lease = 1.0 WHERE state = 'running'")
    assert ledger.beat([(claim, []) for claim in claims]) == []
    now = time.monotonic()
    assert all(now < end <= now + lease.LEASE_S for end in leases())
    assert len(leases()) == 2
    ledger.finish(claims[0], COMPLETE, [])
    ledger.release([claims[1]])
    assert leases() == []


def test_who_comes_second_is_told_so(engine: Engine, path: Path) -> None:
    stage = started(engine, 2)
    slow, fast = ledger_of(engine, stage), ledger_of(engine, stage)
    opening = slow.next_open()
    assert opening is not None
    assert take(fast).slot == opening.slot
    before = contents(path)
    assert slow.claim(opening.slot, PARAMS, seed=0) is None
    assert contents(path) == before
    assert take(slow).slot == 1


def test_replicates_share_what_the_first_of_them_drew(engine: Engine, path: Path) -> None:
    stage = started(engine, 4, seeds=2)
    here, there = ledger_of(engine, stage), ledger_of(engine, stage)
    claims = [
        here.claim(0, {**PARAMS, "n": 1}, seed=0),
        there.claim(1, {**PARAMS, "n": 2}, seed=1),
        there.claim(2, {**PARAMS, "n": 3}, seed=0),
    ]
    assert [claim.params["n"] for claim in claims if claim is not None] == [1, 1, 3]


# Owners


def test_an_owner_of_this_process_is_alive_until_it_is_retired() -> None:
    first, second = owner.new(), owner.new()
    assert first != second
    assert owner.alive(first)
    owner.retire(first)
    assert not owner.alive(first), "a notebook's next supervisor may take what it left"
    assert owner.alive(second)
    owner.retire(second)


def test_a_process_number_that_was_used_again_is_another_process() -> None:
    boot, namespace, pid, began, number = owner.new().split("/")
    assert not owner.alive(f"{boot}/{namespace}/{pid}/{int(began) - 1}/{number}")
    assert not owner.alive(f"another-boot/{namespace}/{pid}/{began}/{number}")


def test_a_process_of_another_container_cannot_be_judged() -> None:
    boot, _, pid, began, number = owner.new().split("/")
    assert owner.alive(f"{boot}/another-namespace/{pid}/{int(began) - 1}/{number}")


def test_ended_and_half_ended_processes_are_dead() -> None:
    with start_call(databases.owner_name) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        name = process.stdout.readline().strip()
        assert name.split("/")[2] == str(process.pid)
        assert owner.alive(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not buried
        assert not owner.alive(name), "a zombie runs nothing"
    assert not owner.alive(name)


def test_the_name_of_a_process_may_hold_anything(tmp_path: Path) -> None:
    program = tmp_path / ") S 1 (x"
    program.symlink_to(sys.executable)
    code = "from hpo.store import owner; print(owner.new(), end='')"
    name = subprocess.run(
        [program, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    boot, _, _, began, _ = name.split("/")
    ours = owner.new().split("/")
    assert boot == ours[0]
    assert int(began) >= int(ours[3])


# What `finish` writes


def test_finish_writes_everything_that_a_reader_looks_for(engine: Engine, path: Path) -> None:
    stage = started(engine, 4)
    ledger = ledger_of(engine, stage)
    outcomes = [
        Outcome("complete", 0.75, 2.5),
        Outcome("complete", 0.1, 1.5, diverged_at=1),
        Outcome("pruned", None, 0.5),
        FAILED,
    ]
    for outcome in outcomes:
        run_one(ledger, outcome)
    with reading(engine) as connection:
        trials = stage_trials(connection, stage)
        curves = stage_curves(connection, stage)
    assert [t.state for t in trials] == [
        TrialState.COMPLETE,
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
    ]
    # a pruned trial has its last reported value
    assert [t.value for t in trials] == [0.75, 0.1, 0.5, None]
    assert [t.params for t in trials] == [PARAMS] * 4
    assert [t.seed for t in trials] == [0, 1, 2, 3]
    assert [t.seconds for t in trials] == [2.5, 1.5, 0.5, 1.0]
    assert [t.diverged_at for t in trials] == [None, 1, None, None]
    assert [t.steps for t in trials] == [2] * 4
    assert trials[3].error == FAILED.error
    assert curves == [
        (slot, 1, step, step / 10, {"score": score, "half": score / 2})
        for slot in range(4)
        for step, score in ((0, 0.25), (1, 0.5))
    ]
    theirs = optuna_trials(path)
    assert [t.state.name for t in theirs] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    assert [t.values for t in theirs] == [[0.75], [0.1], None, None]
    assert [t.params for t in theirs] == [PARAMS] * 4
    assert [t.intermediate_values for t in theirs] == [{0: 0.25, 1: 0.5}] * 4
    assert [t.user_attrs for t in theirs] == [
        {},
        {"diverged_at": 1},
        {},
        {"error": "ValueError: no"},
    ]
    assert all(t.datetime_start and t.datetime_complete for t in theirs)


def test_killed_in_the_middle_of_finish_nothing_of_it_is_there(engine: Engine, path: Path) -> None:
    started(engine, 30)
    details = ("trial_values", "trial_intermediate_values", "trial_user_attributes", "hpo_curves")
    for statement in range(1, 31):
        before = [sql(path, f"SELECT count(*) FROM {name}") for name in details]
        with start_call(databases.die_in_finish, path, statement) as process:
            process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == 9
        after = [sql(path, f"SELECT count(*) FROM {name}") for name in details]
        assert before == after, f"died before statement {statement}"
        assert slots_of(path, "slot, state, seconds, diverged_at")[0] == (0, "running", None, None)
        assert sql(path, "SELECT state FROM trials WHERE number = 0") == [("RUNNING",)]
        # its process is dead: the next one takes the slot
    assert statement > 6, "finish has become one statement: look whether this test still bites"
    assert [sql(path, f"SELECT count(*) FROM {name}") for name in details] == [
        [(1,)],
        [(2,)],
        [(1,)],
        [(2,)],
    ]
    assert slots_of(path)[0] == (0, "complete", statement)
    assert databases.problems(path) == []


def test_what_is_not_finite_is_read_as_it_was_reported(engine: Engine, path: Path) -> None:
    stage = started(engine, 1)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    odd = [
        Step(0, 0.1, {"score": math.nan, "half": 0.5}),
        Step(1, 0.2, {"score": 0.5, "half": math.inf}),
        Step(2, 0.3, {"score": 0.75}),
    ]
    ledger.finish(claim, COMPLETE, odd)
    stored = [json.loads(text) for (text,) in sql(path, "SELECT metrics FROM hpo_curves")]
    assert stored == [
        {"score": "NaN", "half": 0.5},
        {"score": 0.5, "half": "Infinity"},
        {"score": 0.75},
    ]
    frame = hpo.curves(1, storage=databases.url_of(path))
    assert str(frame.dtypes["half"]) == str(frame.dtypes["score"]) == "float64"
    assert frame["half"].isna().tolist() == [False, False, True]
    assert frame["half"][1] == math.inf
    assert frame["score"].isna().tolist() == [True, False, False]
    seen = optuna_trials(path)[0].intermediate_values
    assert math.isnan(seen[0])
    assert (seen[1], seen[2]) == (0.5, 0.75)


# Stages


def test_a_stage_closes_with_its_last_slot_and_a_larger_budget_opens_it(
    engine: Engine, path: Path
) -> None:
    study, stage = databases.begun(engine, 3)
    ledger = ledger_of(engine, stage)
    held = take(ledger)
    run_one(ledger)
    run_one(ledger, FAILED)
    assert databases.the_stage(engine).open
    ledger.finish(held, COMPLETE, [])
    assert not databases.the_stage(engine).open
    for budget, is_open in ((3, False), (5, True)):
        with writing(engine) as connection:
            stage = studies.raise_budget(connection, study, stage, budget)
        assert (stage.budget, stage.open) == (budget, is_open)
    with (
        pytest.raises(StateError, match="budget of 5 trials, which can only grow"),
        writing(engine) as connection,
    ):
        studies.raise_budget(connection, study, stage, 4)
    for slot in (3, 4):
        claim = run_one(ledger)
        assert claim is not None
        assert claim.slot == slot
    assert not databases.the_stage(engine).open
    assert [t.number for t in optuna_trials(path)] == [0, 1, 2, 3, 4]
    assert databases.problems(path) == []


def test_names_that_look_like_each_others_stages(engine: Engine, path: Path) -> None:
    plain, nested = started(engine, 1, "a"), started(engine, 1, "a/1")
    assert (plain.optuna_study, nested.optuna_study) == ("a/1", "a/1/1")
    optuna.create_study(study_name="b/1", storage=Storage(databases.url_of(path)))
    with pytest.raises(StateError, match=r"Optuna study called b/1 .* hpo start --name"):
        started(engine, 1, "b")
    with reading(engine) as connection:
        assert [study.name for study in studies.all_studies(connection)] == ["a", "a/1"]
    for stage in (plain, nested):
        run_one(ledger_of(engine, stage))
    assert databases.problems(path) == []


# Optuna studies in other hands


def test_a_deleted_optuna_study_is_said_plainly(engine: Engine, path: Path) -> None:
    stage = started(engine, 3)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    optuna.delete_study(study_name="s/1", storage=Storage(databases.url_of(path)))
    before = contents(path)
    for write in (
        lambda: databases.take(ledger),
        lambda: ledger.beat([(claim, steps(0.5))]),
        lambda: ledger.finish(claim, COMPLETE, steps(0.5)),
        lambda: ledger.lose(claim, 1, LOST),
    ):
        with pytest.raises(StateError, match="Optuna study s/1 of this stage was deleted"):
            write()
    assert contents(path) == before
    ledger.release([claim])  # it can still be given back
    with pytest.raises(StateError, match="was deleted"):
        databases.take(ledger)


def test_a_result_never_goes_to_a_trial_that_took_over_the_id(engine: Engine, path: Path) -> None:
    stage = started(engine, 1)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    storage = Storage(databases.url_of(path))
    optuna.delete_study(study_name="s/1", storage=storage)
    theirs = optuna.create_study(study_name="theirs", storage=storage)
    assert theirs.ask()._trial_id == claim.trial_id  # SQLite uses ids again
    for write in (
        lambda: ledger.beat([(claim, steps(0.5))]),
        lambda: ledger.finish(claim, COMPLETE, steps(0.5)),
    ):
        with pytest.raises(StateError, match="was deleted"):
            write()
    (trial,) = theirs.trials
    assert (trial.state.name, trial.params, trial.intermediate_values) == ("RUNNING", {}, {})


@pytest.mark.parametrize("how", ["enqueued", "asked"])
def test_a_trial_of_another_program_is_said_plainly(how: str, engine: Engine, path: Path) -> None:
    stage = started(engine, 3)
    ledger = ledger_of(engine, stage)
    run_one(ledger)
    study = optuna.load_study(study_name="s/1", storage=Storage(databases.url_of(path)))
    if how == "asked":
        study.ask()
    else:
        study.enqueue_trial({"x": 1e-4})
    before = contents(path)
    with pytest.raises(StateError, match=r"next number is 2 instead of 1.*hpo start"):
        databases.take(ledger)
    assert contents(path) == before
    assert databases.problems(path) == ["study 1, stage 1: trial 1 belongs to no slot"]


def rename(path: Path, old: str, new: str) -> None:
    """Do what the dashboard does: copy to a new study, delete the old one."""
    storage = optuna.storages.RDBStorage(databases.url_of(path))
    source = optuna.load_study(study_name=old, storage=storage)
    target = optuna.create_study(study_name=new, storage=storage, directions=source.directions)
    target.add_trials(source.get_trials(deepcopy=False))
    for key, value in source.user_attrs.items():
        target.set_user_attr(key, value)
    storage.delete_study(source._study_id)
    storage.engine.dispose()


def test_a_renamed_optuna_study_is_still_ours(engine: Engine, path: Path) -> None:
    first = started(engine, 4, "first")  # so that ids and numbers differ
    while run_one(ledger_of(engine, first)) is not None:
        pass
    stage = started(engine, 4)
    ledger = ledger_of(engine, stage)
    run_one(ledger)
    claim = take(ledger)
    assert ledger.beat([(claim, steps(0.125))]) == []
    with reading(engine) as connection:
        before = stage_trials(connection, stage), stage_curves(connection, stage)
    rename(path, "s/1", "my favourite")
    with reading(engine) as connection:
        assert (stage_trials(connection, stage), stage_curves(connection, stage)) == before
    # and it goes on, also with the trial that was running meanwhile
    ledger.finish(claim, COMPLETE, [Step(1, 0.2, {"score": 0.25})])
    while run_one(ledger) is not None:
        pass
    assert databases.problems(path) == []
    study = optuna.load_study(study_name="my favourite", storage=Storage(databases.url_of(path)))
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 4
    assert study.trials[1].intermediate_values == {0: 0.125, 1: 0.25}
