"""The commands that lead on: each of them works."""

import re
from dataclasses import replace

import databases
import pytest
from databases import COMPLETE, ledger_of, run_one
from made_studies import study
from made_trials import LR, UNIT, log_peak, noisy, sampled
from objectives.files import place

import hpo
from hpo import next_stage
from hpo.advice import advise
from hpo.errors import StateError
from hpo.health import verdicts
from hpo.next_stage import decided
from hpo.space import Space
from hpo.store import studies
from hpo.store.attempt import Outcome
from hpo.store.engine import writing

FAILED = Outcome("failed", None, 0.1, reason="error", error="RuntimeError: no")


def refused(engine, study, from_stage=None):
    with pytest.raises(StateError) as caught:
        next_stage.propose(engine, study, from_stage)
    return str(caught.value)


def run(engine, stage, *outcomes):
    ledger = ledger_of(engine, stage)
    for outcome in outcomes:
        run_one(ledger, outcome)


def another(engine, study, parent, budget, sampler="random"):
    """A stage of the same space, so that its parent's trials are evidence for it."""
    with writing(engine) as connection:
        return studies.create_stage(
            connection, study, parent=parent, kind="manual", space=parent.space, evidence=None,
            sampler=sampler, budget=budget, seeds=parent.seeds,
        )  # fmt: skip


def test_inherited_evidence_is_counted(tmp_path):
    engine = databases.new(tmp_path / "hpo.db")
    study, first = databases.begun(engine, budget=28)
    run(engine, first, *[COMPLETE] * 28)
    second = another(engine, study, first, budget=4)
    run(engine, second, COMPLETE)
    assert refused(engine, study) == (
        "stage 2 has 1 counted trials, 29 with those of earlier stages; narrowing 2 parameters "
        "needs 30. Run: hpo resume 1"
    )
    run(engine, second, COMPLETE)
    assert refused(engine, study) == (
        "stage 2 is open: 2 of its 4 trials are not counted yet. Run: hpo resume 1"
    )
    run(engine, second, COMPLETE, COMPLETE)
    assert next_stage.propose(engine, study).decision.trials == 32


def test_a_stage_that_must_grow_grows_by_what_is_missing(tmp_path):
    engine = databases.new(tmp_path / "hpo.db")
    study, first = databases.begun(engine, budget=20)
    run(engine, first, *[COMPLETE] * 20)
    second = another(engine, study, first, budget=4)
    run(engine, second, COMPLETE, FAILED)
    missing = 30 - 20 - 1 - 2
    assert refused(engine, study).endswith(f"needs 30. Run: hpo resume 1 --trials {4 + missing}")
    # What is raised is the last stage's budget: for another open one it is of no use.
    third = another(engine, study, second, budget=4)
    assert refused(engine, study, 2).endswith("needs 30. Run: hpo resume 1")
    assert refused(engine, study, third.number).endswith("needs 30. Run: hpo resume 1 --trials 9")


def test_an_open_grid_has_no_more_points(tmp_path):
    engine = databases.new(tmp_path / "hpo.db")
    study, first = databases.begun(engine, budget=4)
    run(engine, first, *[COMPLETE] * 4)
    another(engine, study, first, budget=4, sampler="grid")
    assert refused(engine, study).endswith("Run: hpo resume 1")


def test_trials_with_a_value_are_counted_in_trials(tmp_path):
    engine = databases.new(tmp_path / "hpo.db")
    study, stage = databases.begun(engine, budget=12, seeds=3)
    run(engine, stage, *[COMPLETE] * 6, *[FAILED] * 6)
    assert refused(engine, study) == (
        "stage 1 has 12 counted trials, 6 with a value; narrowing 2 parameters needs 90. "
        f"Run: hpo resume 1 --trials {12 + 84}"
    )


def test_a_setting_that_has_begun_is_no_setting_to_come(tmp_path):
    engine = databases.new(tmp_path / "hpo.db")
    study, stage = databases.begun(engine, budget=90, seeds=3)
    run(engine, stage, *[FAILED] * 3, COMPLETE)
    # Of 30 settings one has failed, one is usable, 28 are to come.
    assert refused(engine, study).endswith("Run: hpo resume 1 --trials 93")


def test_after_a_grid_with_too_few_points(home):
    place(home, search={"trials": 6, "sampler": "grid"})
    found = hpo.start("my.toml")
    assert advise(found, found.last).command == "best 1"
    with pytest.raises(StateError) as caught:
        hpo.resume(1, trials=9)
    assert str(caught.value) == (
        "stage 1 is a grid of 6 trials, which has no more points. "
        "Set the next ranges by hand: hpo narrow 1 --range NAME=LOW:HIGH"
    )
    assert hpo.decide(1, ranges={"x": (1e-4, 1e-2)}).nothing_to_do is None


def test_an_open_grid_is_finished_first(home):
    place(home, fixed={"pause": 0.1}, search={"trials": 6, "sampler": "grid"})
    hpo.start("my.toml", timeout=0.01)
    with pytest.raises(StateError, match=r"has no more points. Finish it: hpo resume 1$"):
        hpo.resume(1, trials=9)


def test_after_a_grid_with_enough_points(home):
    place(home, search={"trials": 30, "sampler": "grid"})
    found = hpo.start("my.toml")
    assert advise(found, found.last).command == "narrow 1"
    assert advise(replace(found, trials=[[]]), found.last).command == "best 1"


def test_a_range_by_hand_is_measured_against_the_recommended_setting_not_the_luckiest():
    space = Space({"x": UNIT})
    score = noisy(lambda p: 0.8 - (p["x"] - 0.3) ** 2, 0.05, seed=12)
    found = study(space, trials := sampled(space, score, n=60, seed=12), validation=64)
    assert round(found.best().params["x"], 2) == 0.23
    assert round(found.maximum.params["x"], 2) == 0.06
    assert decided(found, found.last, trials, ranges={"x": (0.1, 1.0)}).warnings == ()
    (warning,) = decided(found, found.last, trials, ranges={"x": (0.0, 0.2)}).warnings
    assert warning == (
        "The range of x leaves out 0.234972, of the setting that is recommended or confirmed."
    )


def test_a_best_value_at_its_natural_end_is_told_alike_by_all():
    space = Space({"dropout": UNIT, "lr": LR})
    trials = sampled(space, lambda p: log_peak(1e-4)(p) - 4 * p["dropout"])
    found = study(space, trials, sampler="tpe")
    assert not advise(found, found.last).leans
    assert advise(found, found.last).command == "confirm 1"
    assert decided(found, found.last, trials).warnings == ()
    (edge,) = [verdict for verdict in verdicts(found, {}) if verdict.check == "edge"]
    assert edge.status == "pass"


def test_warnings_look_at_what_the_next_command_looks_at():
    trials = sampled(Space({"lr": LR}), log_peak(1.0), n=40)
    later = [replace(trial, stage=2) for trial in trials[:5]]
    found = study(Space({"lr": LR}), trials, later, sampler="tpe")
    assert advise(found, found.last).command == "narrow 1"
    (lean,) = advise(found, found.last).leans
    assert re.fullmatch(
        r"with a probability of \d+ % the optimum of lr lies at its upper edge 1e-02", lean.sentence
    )
