"""Studies with a pruner and real workers: what is stopped, that it repeats, and what people see."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from commands import done, run
from databases import problems, sql
from objectives.files import place
from processes import start_hpo

import hpo
from hpo.errors import DefinitionError
from hpo.pruning import PRUNERS

DB = Path("hpo.db")
ROUNDS = 9  # epochs of `rising`
pruning_ones = pytest.mark.parametrize("pruner", [name for name in PRUNERS if name != "none"])


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Every test here has a folder of its own."""


def started(pruner="asha", *, objective="rising", trials=40, workers=1, **keys):
    search = {"trials": trials, "sampler": "random", "pruner": pruner, **keys.pop("search", {})}
    return hpo.start(place(Path(), objective, search=search, **keys), workers=workers)


def result(study=1, storage=None):
    """Return everything that must repeat."""
    trials = hpo.report(study, storage=storage).drop(columns=["study", "seconds", "attempt"])
    curves = hpo.curves(study, storage=storage).drop(columns=["study", "seconds", "attempt"])
    return trials, curves


def assert_same(one, other):
    for before, after in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(before, after, check_exact=True)


# One worker


@pruning_ones
def test_one_worker_does_the_same_twice_and_finds_the_best(pruner):
    summary = started(pruner)
    started(pruner)
    assert_same(result(1), result(2))
    trials, curves = result(1)
    assert set(trials.state) == {"COMPLETE", "PRUNED"}
    assert trials.state[0] == "COMPLETE"  # the first always runs to its end
    pruned = trials[trials.state == "PRUNED"]
    assert (pruned.steps < ROUNDS).all()
    assert (trials.steps[trials.state == "COMPLETE"] == ROUNDS).all()
    assert (curves.groupby("trial").size() == trials.steps).all()
    last = curves.groupby("trial").score.last()
    assert (last[pruned.trial] == pruned.value).all()  # what it had reached then
    without = started("none")
    assert summary.maximum.params == without.maximum.params
    assert problems(DB) == []


def test_a_loss_is_pruned_too():
    started(objective="rising", direction="minimize")
    trials, _ = result()
    assert (
        trials.value[trials.state == "COMPLETE"].min() == 9 * trials.value.div(trials.steps).min()
    )


def test_without_a_pruner_nobody_asks():
    started("none", trials=5)
    assert set(result()[0].state) == {"COMPLETE"}


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_bayesian_samplers_repeat_with_one_worker(sampler):
    for _ in range(2):
        started(search={"sampler": sampler}, trials=30)
    assert_same(result(1), result(2))


def test_interrupted_in_the_middle_of_a_trial():
    started()
    path = place(
        Path(),
        "rising",
        name="slow",
        search={"trials": 40, "sampler": "random", "pruner": "asha"},
        fixed={"pause": 0.02},
    )
    with start_hpo("start", path, "--workers", 1) as process:
        process.until(lambda: len(done_slots()) >= 45)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        # The second one may come when it is at its end, and ends Python itself.
        assert process.wait(30) in (130, -signal.SIGINT)
    assert len(done_slots()) < 80
    done("resume", "slow", "--workers", 1)
    assert_same(result(1), result(2))
    assert problems(DB) == []


def done_slots():
    query = "SELECT slot FROM hpo_slots WHERE state IN ('complete', 'pruned')"
    return sql(DB, query) if DB.exists() else []


def test_a_worker_that_is_killed_while_it_waits_for_its_answer():
    started(trials=12)
    search = {"trials": 12, "sampler": "random", "pruner": "asha"}
    path = place(Path(), "rising", name="held", search=search, fixed={"pause": 0.02})
    with start_hpo("start", path, "--workers", 1) as process:
        process.until(lambda: len(done_slots()) > 12)  # the first has completed, and so others ask
        Path("hold").touch()
        process.until(lambda: list(Path().glob("holding-*")))
        (holding,) = Path().glob("holding-*")
        Path("answered").unlink()
        with closing(sqlite3.connect(DB, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            Path("go").touch()  # it reports, and nobody can answer
            time.sleep(0.5)
            assert not Path("answered").exists()
            os.kill(int(holding.name.partition("-")[2]), signal.SIGKILL)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "died (SIGKILL); it runs again" in process.stderr.read()
    assert_same(result(1), result(2))
    assert sorted(hpo.report(2).attempt) == [*[1] * 11, 2]
    assert problems(DB) == []


# More workers


@pruning_ones
def test_two_workers(pruner):
    summary = started(pruner, workers=2)
    counts = summary.counts(summary.last)
    assert counts.complete + counts.pruned == 40
    assert counts.pruned > 5
    trials, curves = result()
    assert summary.maximum.value == 9 * trials.value.div(trials.steps).max()
    assert (curves.groupby("trial").size() == trials.steps).all()
    assert problems(DB) == []


# The objective


@pytest.mark.parametrize("workers", [1, 2])
def test_whoever_passes_over_the_end_is_pruned_all_the_same(workers):
    """From a thread, and with a score: it is the score of half a training."""
    started(objective="stubborn", workers=workers)
    trials, _ = result()
    assert (trials.state == "PRUNED").sum() > 5
    assert (trials.steps[trials.state == "PRUNED"] < ROUNDS).all()
    complete = trials[trials.state == "COMPLETE"]
    assert (complete.value == 9 * complete.params_x).all()


# What people see


def test_screens_and_documents():
    path = place(Path(), "rising", search={"trials": 40, "sampler": "random"})
    shown = done("start", path, "--pruner", "asha", "--workers", 1)
    assert "my · stage 1 of study 1 · random with asha · 40 trials" in shown.stderr
    trials, _ = result()
    pruned, spent = (trials.state == "PRUNED").sum(), trials.steps.sum()
    assert f"Pruned {pruned} of 40 trials: {spent} of 360 steps.\n" in shown.stderr
    assert "were pruned" not in shown.stderr
    assert " · pruner asha" in done("show", 1).stdout
    assert f"40 ({pruned} pruned)" in done("show", 1).stdout
    (stage,) = json.loads(done("show", 1, "--json").stdout)["stages"]
    assert (stage["pruner"], stage["counts"]["pruned"]) == ("asha", pruned)
    notes = "SELECT value_json FROM study_system_attributes ORDER BY length(value_json) DESC"
    assert "Sampler random, pruner asha, 40 trials" in sql(DB, notes)[0][0]


def test_a_pruned_trial_is_replayed_up_to_there():
    started()
    trials, _ = result()
    pruned = trials[trials.state == "PRUNED"].iloc[0]
    shown = done("replay", 1, f"1/{pruned.trial}").stdout
    assert shown.startswith(f"{pruned.steps} step")
    assert shown.endswith("equal bit for bit.\nIt was pruned, as before.\n")
    complete = done("replay", 1, "1/0").stdout
    assert complete == "9 steps, 9 values and the score: equal bit for bit.\n"


def test_the_next_stage_is_pruned_and_a_confirmation_never_is():
    started()
    narrowed = hpo.narrow(1, ranges={"x": (1e-4, 1e-2)}, trials=30, workers=1)
    assert narrowed.counts(narrowed.last).pruned > 5
    confirmed = hpo.confirm(1, top=3, seeds=3, workers=1)
    assert confirmed.counts(confirmed.last).complete == 9
    stages = json.loads(done("show", 1, "--json").stdout)["stages"]
    assert [stage["pruner"] for stage in stages] == ["asha", "asha", "none"]


# Mistakes


def test_replicates_and_a_pruner_are_refused():
    told = r"pruner \('asha'\) does not go with seeds \(2\)"
    with pytest.raises(DefinitionError, match=told):
        started(search={"seeds": 2})
    path = place(Path(), "rising", search={"seeds": 2, "trials": 4})
    with pytest.raises(DefinitionError, match=told):
        hpo.start(path, pruner="asha")
    assert not DB.exists()


def test_an_unknown_pruner_is_refused():
    path = place(Path(), "rising", search={"pruner": "sha"})
    refused = run("start", path)
    assert refused.exit_code == 2
    assert "[search] pruner: 'sha' is not 'none', 'median', 'asha' or 'hyperband'" in refused.stderr
    assert run("start", "--pruner", "sha").exit_code == 2
