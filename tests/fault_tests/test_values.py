"""Odd scores, metrics, steps and names: they come back as they were, or are refused in words."""

import json
import math
import re
import shutil
import struct
from pathlib import Path

import databases
import numpy as np
import pytest
from commands import done
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objectives import odd_values
from objectives.files import place

import hpo
from hpo.store.attempt import Outcome, Step
from hpo.store.engine import reading
from hpo.store.trials import stage_curves, stage_trials

DATABASE = Path("hpo.db")
HEAD = ["study", "stage", "trial", "attempt", "step", "seconds"]


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """Every test here has a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)


def ran(objective, trials, **fixed):
    """Run one trial for each row of a table, and return them with their curves."""
    shutil.copy(odd_values.__file__, Path.cwd())
    definition = place(
        Path.cwd(),
        f"odd_values:{objective}",
        space={"n": {"low": 0, "high": max(trials - 1, 1)}},
        fixed=fixed,
        search={"sampler": "grid" if trials > 1 else "random", "trials": trials},
    )
    summary = hpo.start(definition, workers=2)
    assert databases.problems(DATABASE) == []
    assert {row[1] for row in databases.slots_of(DATABASE)} <= {"complete", "failed"}
    found, curves = summary.trials[0], hpo.curves(1)
    assert [trial.number for trial in found] == list(range(trials))
    return [(trial, curves[curves.trial == trial.number]) for trial in found]


def same(stored, given):
    return struct.pack("d", stored) == struct.pack("d", given)


def failed(trial, sentence):
    """Whether a trial failed in this manner: it diverged, or raised an error with these words."""
    if sentence == "diverged":
        return (trial.state, trial.reason, trial.diverged_at) == ("FAIL", "diverged", 0)
    assert (trial.state, trial.reason) == ("FAIL", "error"), trial
    return re.search(sentence, trial.error.strip().splitlines()[-1])


def test_scores():
    for (trial, curve), row in zip(
        ran("returning", len(odd_values.VALUES)), odd_values.VALUES, strict=True
    ):
        given, expected, _ = row
        assert curve.empty
        if isinstance(expected, str):
            assert failed(trial, expected), (given, trial)
        else:
            assert trial.state == "COMPLETE"
            assert same(trial.value, expected), (given, trial.value)


def test_reported_values():
    for (trial, curve), row in zip(
        ran("reporting", len(odd_values.VALUES)), odd_values.VALUES, strict=True
    ):
        given, _, expected = row
        if isinstance(expected, str):
            assert failed(trial, expected), (given, trial)
            assert list(curve.other) == ([given] if expected == "diverged" else [])
        else:
            assert (trial.state, trial.value) == ("COMPLETE", 1.0), given
            assert same(curve.other.item(), expected), (given, curve.other)


def test_steps():
    for (trial, curve), row in zip(
        ran("stepping", len(odd_values.STEPS)), odd_values.STEPS, strict=True
    ):
        given, expected = row
        if isinstance(expected, str):
            assert failed(trial, expected), (given, trial)
            assert curve.empty
        else:
            assert trial.state == "COMPLETE"
            assert list(curve.step) == [expected]


def test_names():
    pairs = list(zip(ran("naming", len(odd_values.NAMES)), odd_values.NAMES, strict=True))
    for (trial, curve), (name, refusal) in pairs:
        if refusal is None:
            assert trial.state == "COMPLETE", name
            assert curve[name].item() == 0.5
        else:
            assert failed(trial, refusal), (name, trial)
            assert curve.empty
    names = {name for _, (name, refusal) in pairs if refusal is None}
    assert set(hpo.curves(1).columns) == {*HEAD, *names}
    for form in ("table", "csv", "json", "html", "parquet"):
        done("report", 1, "--curves", "--format", form, "--out", f"curves.{form}")
    assert {*json.loads(Path("curves.json").read_text())[0]} == {*HEAD, *names}


def test_steps_in_any_order():
    ((trial, curve),) = ran("jumping", 1)
    assert (trial.state, trial.value, trial.diverged_at) == ("COMPLETE", 0.0, 4)
    assert list(curve.step) == [0, 3, 4, 5, 9]
    np.testing.assert_array_equal(curve.score, [0.0, 0.3, math.nan, 0.5, 0.9])


def test_thousands_of_metrics():
    ((trial, curve),) = ran("wide", 1, metrics=3000)
    assert (trial.state, trial.steps) == ("COMPLETE", 3)
    values = curve[[f"metric {n}" for n in range(3000)]].to_numpy()
    np.testing.assert_array_equal(values, [[n / 7 + s for n in range(3000)] for s in range(3)])


def test_very_many_steps(soak):
    steps = 100_000 if soak else 20_000
    ((trial, curve),) = ran("long", 1, steps=steps)
    assert (trial.state, trial.steps) == ("COMPLETE", steps)
    np.testing.assert_array_equal(curve.step, range(steps))
    np.testing.assert_array_equal(curve.score, [step / 7 for step in range(steps)])


def test_replicates_of_the_largest_scores():
    # As of a loss that explodes: the mean is no larger than the largest, their sum is.
    engine = databases.new(DATABASE)
    ledger = databases.ledger_of(engine, databases.started(engine, 6, seeds=3))
    while databases.run_one(ledger, Outcome("complete", odd_values.LARGEST, 0.1)):
        pass
    best = hpo.best(1)
    assert best is not None
    assert best.mean == odd_values.LARGEST
    for command in (["list"], ["show", 1], ["best", 1], ["report", 1], ["show", 1, "--json"]):
        done(*command)
    assert databases.problems(DATABASE) == []


# Any float under any name

NAMES = st.text(st.characters(exclude_categories=()), max_size=20)  # surrogates too
METRICS = st.dictionaries(NAMES | st.just("score"), st.floats(), max_size=5)
CURVES = st.dictionaries(st.integers(0, odd_values.LIMIT), METRICS, max_size=5)
SCORES = st.floats(allow_nan=False, allow_infinity=False)


def bits(curve):
    """Return a curve with the bits of its floats; a NaN has only its name as JSON."""
    return {
        step: {
            name: "NaN" if math.isnan(value) else struct.pack("d", value)
            for name, value in metrics.items()
        }
        for step, metrics in curve.items()
    }


def test_any_float_under_any_name_comes_back(soak):
    engine = databases.new(DATABASE)
    tried = 0

    @settings(
        max_examples=2000 if soak else 60,
        deadline=None,
        derandomize=not soak,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(CURVES, CURVES, SCORES)
    def comes_back(early, late, score):
        nonlocal tried
        tried += 1
        stage = databases.started(engine, 1, name=f"study {tried}")
        ledger = databases.ledger_of(engine, stage)
        claim = databases.take(ledger)
        curve = early | late
        sent = json.loads(json.dumps(list(curve.items())))  # as from a worker
        steps = [Step(step, 0.1, metrics) for step, metrics in sent]
        ledger.beat([(claim, steps[: len(early)])])
        ledger.finish(claim, Outcome("complete", score, 0.2), steps[len(early) :])
        with reading(engine) as connection:
            (trial,) = stage_trials(connection, stage)
            found = {step: metrics for *_, step, _, metrics in stage_curves(connection, stage)}
        assert bits(found) == bits(curve)
        assert same(trial.value, score + 0.0)  # a zero has no sign

    comes_back()
    assert tried >= (2000 if soak else 60)
    assert databases.problems(DATABASE) == []
