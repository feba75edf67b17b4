"""The service with real workers: exact budgets, the same result every time, honest endings."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from objectives import tiny
from objectives.files import X, place

import hpo
from hpo import overview
from hpo.errors import (
    DatabaseError,
    DefinitionError,
    NotFoundError,
    ObjectiveError,
    StateError,
    UsageError,
)
from hpo.store.check import check
from hpo.summary import standard_error
from hpo.supervisor import Ended
from hpo.watcher import Watcher

URL = "sqlite:///hpo.db"
DESCRIPTION = {"train": 400, "validation": 100, "test": 50, "classes": 10, "fingerprint": "first"}


@pytest.fixture(autouse=True)
def _home(home):
    """Every test here has a folder of its own."""


def trials_of(study=1, storage=None):
    return hpo.report(study, storage=storage)


def bits(study=1, storage=None):
    """Return everything that must repeat, in the order of stages, trials and steps."""
    trials = trials_of(study, storage).drop(columns=["study", "seconds", "attempt"])
    curves = hpo.curves(study, storage=storage).drop(columns=["study", "seconds", "attempt"])
    return json.loads(trials.to_json(orient="split", double_precision=15)), [
        [value.hex() if isinstance(value, float) else value for value in row]
        for row in [*trials.itertuples(index=False), *curves.itertuples(index=False)]
    ]


def one(objective="hill", *, trials=1, workers=1, **keys):
    """Run a study whose trials all meet the same fate, and return the summary."""
    search = {"trials": trials, **keys.pop("search", {})}
    return hpo.start(place(Path.cwd(), objective, search=search, **keys), workers=workers)


def only(summary):
    """Return the only trial."""
    (trial,) = summary.of(summary.last)
    return trial


def sound(storage=URL):
    assert check(storage) == []


# The same seed, the same result


def interrupted(definition, trials, storage):
    """Run a study in pieces: stopped again and again, with another number of workers each time."""
    summary = hpo.start(definition, storage=storage, workers=2, timeout=0.1)
    pieces = 1
    assert summary.ended is Ended.TIMEOUT
    while summary.last.open:
        last_one = pieces > 2
        summary = hpo.resume(
            1, storage=storage, workers=1 + pieces % 2, timeout=None if last_one else 0.15
        )
        pieces += 1
    assert pieces > 1
    assert summary.counts(summary.last).complete == trials
    return bits(storage=storage)


SPACE = {
    "x": X,
    "width": {"low": 16, "high": 64, "step": 16},
    "share": {"low": 0.0, "high": 1.0},
    "kind": {"choices": ["a", "b", "c"]},
}


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_a_study_repeats_bit_for_bit(home: Path, sampler):
    trials = 16
    definition = place(
        home,
        space=SPACE,
        fixed={"epochs": 4, "pause": 0.01},
        search={"sampler": sampler, "trials": trials, "seed": 3},
    )
    runs = []
    for workers in (1, 2):
        storage = f"sqlite:///{workers}.db"
        hpo.start(definition, storage=storage, workers=workers)
        runs.append(bits(storage=storage))
    assert len(runs[0][1]) == trials + 4 * trials
    assert runs[0] == runs[1]
    assert interrupted(definition, trials, "sqlite:///pieces.db") == runs[0]
    hpo.start(definition, storage="sqlite:///other.db", workers=2, seed=4)
    assert bits(storage="sqlite:///other.db") != runs[0]


class Heard(Watcher):
    """Remembers what a run warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, sentence: str) -> None:
        self.warnings.append(sentence)


def test_a_grid_repeats_too(home: Path):
    definition = place(home, space=SPACE, search={"sampler": "grid", "trials": 60})
    heard = Heard()
    for workers in (1, 2):
        summary = hpo.start(
            definition, storage=f"sqlite:///{workers}.db", workers=workers, watcher=heard
        )
        assert heard.warnings.pop() == "The grid has 48 trials; 60 were asked for."
        assert summary.last.budget == 4 * 3 * 2 * 2  # 2 points for each of two continuous axes
    assert bits(storage="sqlite:///1.db") == bits(storage="sqlite:///2.db")
    with pytest.raises(StateError, match="a grid of 48 trials, which has no more points"):
        hpo.resume(1, storage="sqlite:///1.db", trials=60)


def test_a_metric_that_is_never_reported_is_told_once(home: Path):
    heard = Heard()
    hpo.start(place(home, "late", metric="score", search={"trials": 8}), watcher=heard)
    assert hpo.report(1)["diverged"].any()  # before it came to its score
    assert heard.warnings == []
    hpo.start(place(home, "valley", metric="score", file="other.toml"), watcher=heard)
    (warning,) = heard.warnings
    assert warning.startswith("metric = 'score' is never reported; the objective reports val_loss.")


def test_tpe_repeats_with_one_worker(home: Path):
    definition = place(
        home, fixed={"pause": 0.01}, search={"sampler": "tpe", "trials": 14, "seed": 3}
    )
    for storage in ("sqlite:///1.db", "sqlite:///2.db"):
        hpo.start(definition, storage=storage, workers=1)
    whole = bits(storage="sqlite:///1.db")
    assert bits(storage="sqlite:///2.db") == whole
    summary = hpo.start(definition, storage="sqlite:///3.db", workers=1, timeout=0.2)
    assert summary.last.open
    hpo.resume(1, storage="sqlite:///3.db", workers=1, timeout=0.15)
    hpo.resume(1, storage="sqlite:///3.db", workers=1)
    assert bits(storage="sqlite:///3.db") == whole


def test_two_stages_repeat(home: Path):
    definition = place(home, search={"trials": 30})
    for storage, workers in (("sqlite:///1.db", 1), ("sqlite:///2.db", 2)):
        hpo.start(definition, storage=storage, workers=workers)
        summary = hpo.narrow(1, storage=storage, sampler="random", trials=10, workers=workers)
        assert [stage.kind for stage in summary.stages] == ["start", "narrow"]
    assert bits(storage="sqlite:///1.db") == bits(storage="sqlite:///2.db")
    seeds = trials_of(storage="sqlite:///1.db").seed
    assert seeds.nunique() == len(seeds)  # another stage, other seeds


# Replicates


def test_replicates_share_settings_and_seeds(home: Path):
    summary = hpo.start(place(home, search={"trials": 12, "seeds": 3}), workers=2)
    assert summary.counts(summary.last).complete == 12
    trials = trials_of()
    settings = trials.params_x.to_numpy().reshape(4, 3)
    assert (settings == settings[:, :1]).all()
    assert len(np.unique(settings)) == 4
    seeds = trials.seed.to_numpy(int).reshape(4, 3)
    assert (seeds == seeds[0]).all()
    assert len(np.unique(seeds)) == 3
    # Paired: the noise of a replicate is the same at every setting.
    noise = trials.value.to_numpy() + (np.log10(trials.params_x.to_numpy()) + 3) ** 2
    assert np.allclose(noise.reshape(4, 3), noise[:3])


def test_replicates_with_a_sampler_that_looks_back(home: Path):
    hpo.start(place(home, search={"trials": 24, "seeds": 2, "sampler": "tpe"}), workers=2)
    settings = trials_of().params_x.to_numpy().reshape(12, 2)
    assert (settings[:, 0] == settings[:, 1]).all()
    assert len(np.unique(settings)) == 12


def test_replicates_and_budgets(home: Path):
    hpo.start(place(home, search={"trials": 6, "seeds": 3}), workers=1)
    with pytest.raises(UsageError, match=r"--trials 8 is not a multiple of seeds \(3\)"):
        hpo.resume(1, trials=8)
    # 30 are needed; the command that is named must work.
    with pytest.raises(
        StateError, match=r"6 counted trials.*needs 90. Run: hpo resume 1 --trials 90"
    ):
        hpo.narrow(1)
    hpo.resume(1, trials=90, workers=2)
    with pytest.raises(UsageError, match=r"--trials 10 is not a multiple of seeds \(3\)"):
        hpo.narrow(1, trials=10)
    summary = hpo.narrow(1, trials=9, sampler="random", workers=2)
    assert [(stage.budget, stage.seeds) for stage in summary.stages] == [(90, 3), (9, 3)]
    assert len(trials_of()) == 99
    sound()


# Stages


def test_stages_end_where_another_is_not_worth_it(home: Path):
    definition = place(home, search={"trials": 60, "seeds": 2})
    summary = hpo.start(definition, stages=3, workers=2)
    assert (len(summary.stages), summary.ended) == (1, Ended.FINISHED)
    assert "another stage can be expected to gain" in summary.stopped
    assert hpo.narrow(1).stopped == summary.stopped
    # Who wants it nevertheless says how.
    again = hpo.narrow(1, sampler="tpe", trials=2, workers=1)
    assert [(s.kind, s.sampler) for s in again.stages[1:]] == [("narrow", "tpe")]
    sound()


def test_start_with_several_stages(home: Path):
    summary = hpo.start(place(home, "slope", search={"trials": 30}), stages=3, workers=2)
    assert [stage.number for stage in summary.stages] == [1, 2, 3]
    assert [stage.parent for stage in summary.stages] == [None, 1, 2]
    assert summary.stages[1].kind == "widen"
    assert all(summary.counts(stage).complete == 30 for stage in summary.stages)
    assert summary.stages[1].evidence["axes"]["x"]["action"] == "widen"
    assert summary.ended is Ended.FINISHED
    assert optuna.load_study(study_name="my/3", storage=hpo.Storage(URL)).trials[29].number == 29
    sound()


def test_where_nothing_can_be_cut_tpe_goes_on_inside(home: Path):
    summary = hpo.start(place(home, "flat", search={"trials": 30}), stages=2, workers=2)
    first, second = summary.stages
    assert {axis["action"] for axis in second.evidence["axes"].values()} == {"keep"}
    assert (second.kind, second.sampler, second.space) == ("narrow", "tpe", first.space)
    assert second.evidence["carried"] == 30
    sound()


def test_stages_that_cannot_be_are_refused_before_the_first(home: Path):
    definition = place(home, search={"trials": 8, "seeds": 4})
    with pytest.raises(
        UsageError,
        match=r"--stages 2: narrowing this space needs 120 trials, a stage would have 8. "
        r"Give it more: --trials 120",
    ):
        hpo.start(definition, stages=2)
    with pytest.raises(UsageError, match="--stages 0: at least one stage is needed"):
        hpo.start(definition, stages=0)
    assert not (home / "hpo.db").exists()


def test_narrowing_counts_numeric_parameters_only(home: Path):
    space = {"x": X, "kind": {"choices": [1, 2]}, "more": {"choices": [True, False]}}
    space |= {"also": {"choices": ["a", "b"]}}
    definition = place(home, space=space, search={"trials": 32})
    hpo.start(definition, timeout=0.001)
    with pytest.raises(StateError, match=r"narrowing 1 parameter needs 30. Run: hpo resume 1$"):
        hpo.narrow(1)
    hpo.resume(1, workers=2)
    assert hpo.decide(1).decision.trials == 32


def test_too_few_trials_names_a_command_that_works(home: Path):
    hpo.start(place(home, search={"trials": 12}), workers=2)
    with pytest.raises(StateError) as caught:
        hpo.decide(1)
    assert str(caught.value) == (
        "stage 1 has 12 counted trials; narrowing 1 parameter needs 30. "
        "Run: hpo resume 1 --trials 30"
    )
    hpo.narrow(1, ranges={"x": (1e-4, 1e-2)}, workers=2)
    # Only the last stage's budget can grow: for another one the way out is another.
    with pytest.raises(StateError, match="hpo narrow 1 --from-stage 1 --range NAME=LOW:HIGH"):
        hpo.decide(1, from_stage=1)
    assert hpo.show(1).last.kind == "manual"


def test_too_few_points_of_a_grid(home: Path):
    hpo.start(place(home, search={"trials": 12, "sampler": "grid"}), workers=2)
    with pytest.raises(StateError, match="hpo narrow 1 --from-stage 1 --range NAME=LOW:HIGH"):
        hpo.decide(1)


def test_narrow_refuses_before_it_creates(home: Path):
    hpo.start(place(home, search={"trials": 30}), workers=2)
    for refused, message in (
        ({"trials": 0}, "--trials 0 is not a multiple"),
        ({"workers": 0}, "--workers 0: at least one is needed"),
        ({"timeout": 0}, r"timeout \(0\) must be above 0"),
        ({"timeout": -1.0}, r"timeout \(-1.0\) must be above 0"),
        ({"timeout": math.nan}, r"timeout \(nan\) must be"),
        ({"sampler": "bayes"}, "there is no sampler 'bayes'"),
        ({"from_stage": 2}, "study 1 has no stage 2. It has: 1"),
        ({"top": 1}, "top 1"),
        ({"ranges": {"y": (0, 1)}}, "--range y: 'y' is not a parameter; parameters with a range"),
        ({"ranges": {"x": (1, 0)}}, "--range x=1:0: low .* is not below high"),
    ):
        with pytest.raises((UsageError, DefinitionError, NotFoundError), match=message):
            hpo.narrow(1, **refused)
    with pytest.raises(DefinitionError, match=r"timeout \(0\)"):
        hpo.resume(1, trials=31, timeout=0)
    summary = hpo.show(1)
    assert [stage.budget for stage in summary.stages] == [30]


def test_a_dry_run_changes_nothing(home: Path):
    hpo.start(place(home, search={"trials": 30}), workers=2)
    before = (home / "hpo.db").read_bytes()
    decided = hpo.decide(1)
    assert decided.kind == "narrow"
    assert (home / "hpo.db").read_bytes() == before
    # Then the real one does what it said.
    summary = hpo.narrow(1, trials=2, workers=1)
    assert summary.last.space == decided.decision.space
    assert (
        summary.last.evidence["axes"] == json.loads(json.dumps(decided.decision.to_json()))["axes"]
    )


def test_ranges_by_hand_that_are_the_old_ones(home: Path):
    hpo.start(place(home, search={"trials": 30, "sampler": "qmc"}), workers=2)
    summary = hpo.narrow(1, ranges={"x": (1e-6, 1e-2)})
    assert summary.stopped == "nothing to cut or widen: set by hand"
    assert len(summary.stages) == 1
    assert summary.to_json()["stopped"] == summary.stopped


# Time


def test_a_timeout_leaves_the_stage_open(home: Path):
    definition = place(home, fixed={"pause": 0.05}, search={"trials": 40})
    summary = hpo.start(definition, timeout=0.3, workers=2)
    counts = summary.counts(summary.last)
    assert summary.ended is Ended.TIMEOUT
    assert counts.open > 30
    assert summary.last.open
    with pytest.raises(StateError, match=r"stage 1 has \d+ counted trials; narrowing 1 parameter"):
        hpo.narrow(1)
    with pytest.raises(StateError, match=r"narrowing 1 parameter needs 30. Run: hpo resume 1"):
        hpo.narrow(1, ranges={"x": (1e-4, 1e-2)})
    sound()


def test_the_definition_has_a_timeout_too(home: Path):
    definition = place(home, fixed={"pause": 0.1}, search={"trials": 40, "timeout": 0.2})
    assert hpo.start(definition, workers=1).ended is Ended.TIMEOUT
    assert hpo.resume(1, workers=1).ended is Ended.TIMEOUT


# How a trial ends


@pytest.mark.parametrize(
    ("give", "message"),
    [
        ("none", "TypeError: the objective returned None (NoneType), not a number"),
        ("text", "TypeError: the objective returned 'abc' (str), not a number"),
        ("bool", "TypeError: the objective returned True (bool), not a number"),
    ],
)
def test_what_is_no_score_fails_the_trial(give, message):
    trial = only(one("returning", fixed={"give": give}))
    assert (str(trial.state), trial.value, trial.reason) == ("FAIL", None, "error")
    assert trial.error is not None
    assert trial.error.rstrip().endswith(message)
    assert trial.steps == 2


def test_a_whole_number_is_a_score():
    trial = only(one("returning", fixed={"give": "whole"}))
    assert (str(trial.state), trial.value) == ("COMPLETE", 1.0)


@pytest.mark.parametrize("give", ["nan", "inf"])
@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ({}, 0.25),
        ({"direction": "minimize"}, 0.5),
        ({"describe": "tiny:describe", "metric": "val_accuracy"}, 0.1),
        (
            {"describe": "tiny:describe", "metric": "val_loss", "direction": "minimize"},
            math.log(10),
        ),
        ({"describe": "tiny:describe", "metric": "val_error", "direction": "minimize"}, 0.9),
        ({"metric": "unreported"}, None),
    ],
    ids=["worst", "worst-minimize", "chance", "chance-loss", "chance-error", "nothing"],
)
def test_a_score_that_is_not_finite(give, keys, value):
    trial = only(one("returning", fixed={"give": give}, **keys))
    if value is None:  # there is no honest value
        assert (str(trial.state), trial.value, trial.reason) == ("FAIL", None, "diverged")
    else:
        assert (str(trial.state), trial.value, trial.reason) == ("COMPLETE", value, None)
    assert trial.diverged_at == 2
    assert trial.steps == 2


def test_a_thread_that_outlives_its_trial_reports_to_no_other(home):
    one("outlived", trials=3)
    curve = hpo.curves(1)
    for _, steps in curve.groupby("trial"):
        assert steps.step[steps.step >= 100].is_monotonic_increasing
        assert (steps.seconds < 1).all()
    assert curve.groupby("trial").step.min().tolist() == [0, 0, 0]
    told = [file.read_text() for file in home.glob("refused-*")]  # the last may be unfinished
    assert any("this trial has ended" in text for text in told)
    sound()


@pytest.mark.parametrize(
    ("metric", "to"),
    [("score", "nan"), ("score", "-inf"), ("train_loss", "nan"), ("loss", "inf"), ("other", "inf")],
)
def test_report_notices_divergence(metric, to):
    trial = only(one("exploding", fixed={"in": metric, "to": to}))
    assert (str(trial.state), trial.value, trial.diverged_at) == ("COMPLETE", 0.5, 7)
    curve = hpo.curves(1)
    assert list(curve.step) == [5, 6, 7]
    np.testing.assert_equal(curve[metric].iloc[-1], float(to))
    assert trials_of().diverged.all()
    stored = optuna.load_study(study_name="my/1", storage=hpo.Storage(URL)).trials[0]
    assert stored.user_attrs == {"diverged_at": 7}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("twice", "ValueError: run.report: step 1 was reported before"),
        ("negative", "TypeError: run.report: step -1 is not a whole number of 0 or more"),
        ("half", "TypeError: run.report: step 0.5 is not a whole number of 0 or more"),
        ("word", "TypeError: run.report: step 'first' is not a whole number of 0 or more"),
        ("text", "TypeError: run.report: score = 'high' is not a number"),
    ],
)
def test_a_report_that_is_not_one(how, message):
    trial = only(one("reporting", fixed={"how": how}))
    assert (str(trial.state), trial.reason) == ("FAIL", "error")
    assert trial.error is not None
    assert trial.error.rstrip().endswith(message)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("exit", "SystemExit: enough"),
        ("interrupt", "KeyboardInterrupt"),
        ("deep", "RecursionError: maximum recursion depth exceeded"),
        ("raise", "RuntimeError: no luck with [bold]"),
    ],
)
def test_an_exception_fails_the_trial_and_the_worker_goes_on(how, message):
    summary = one("leaving", trials=3, fixed={"how": how})
    assert summary.counts(summary.last).failed == 3
    for trial in summary.of(summary.last):
        assert trial.error is not None
        assert message in trial.error.splitlines()[-1]
        assert (trial.attempt, trial.steps) == (1, 1)
    assert summary.best() is None
    # What failed is counted: it is not run again.
    assert hpo.resume(1).ended is None


@pytest.mark.parametrize("how", ["_exit", "killed"])
def test_a_worker_that_dies_is_replaced(how):
    summary = one("leaving", trials=2, fixed={"how": how}, search={"max_attempts": 2}, workers=2)
    for trial in summary.of(summary.last):
        assert (str(trial.state), trial.reason, trial.attempt) == ("FAIL", "lost", 2)
    assert not summary.last.open
    sound()


def test_a_trial_survives_its_worker(home: Path):
    summary = one("unlucky", trials=4, fixed={"deaths": 2, "epochs": 3}, workers=2)
    trials = summary.of(summary.last)
    assert [str(trial.state) for trial in trials] == ["COMPLETE"] * 4
    assert [trial.attempt for trial in trials] == [3] * 4
    assert len(list((home / "marks").iterdir())) == 12
    # The lost attempts' steps are gone from what people and Optuna see.
    curves = hpo.curves(1)
    assert len(curves) == 4 * 3
    assert set(curves.attempt) == {3}
    stored = optuna.load_study(study_name="my/1", storage=hpo.Storage(URL)).trials
    assert [sorted(trial.intermediate_values) for trial in stored] == [[0, 1, 2]] * 4
    sound()


def test_a_user_may_prune(home: Path):
    summary = one("pruning", trials=40, search={"seed": 1}, workers=2)
    trials = trials_of()
    early, late = trials.params_x < 1e-5, trials.params_x < 1e-4
    assert early.any()
    assert (late & ~early).any()
    assert (~late).any()
    assert (trials.state == late.map({True: "PRUNED", False: "COMPLETE"})).all()
    assert trials.value[early].isna().all()
    assert (trials.value[late & ~early] == 0.75).all()  # the last one that was reported
    assert summary.counts(summary.last).pruned == late.sum()
    assert not summary.last.open
    assert {trial.state.value for trial in summary.top()} == {"COMPLETE"}


def test_a_conditional_space(home: Path):
    space = {
        "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "momentum"}},
        "optimizer": {"choices": ["sgd", "momentum", "adam"]},
    }
    for sampler, budget in (("random", 60), ("tpe", 20)):
        summary = hpo.start(place(home, "forked", space=space), sampler=sampler, trials=budget)
        assert summary.counts(summary.last).complete == budget
        trials = trials_of(summary.study.id)
        assert (trials.params_momentum.notna() == (trials.params_optimizer == "momentum")).all()
        assert 5 < trials.params_momentum.notna().sum() < budget
        stored = optuna.load_study(
            study_name=summary.last.optuna_study, storage=hpo.Storage(URL)
        ).trials
        assert {len(trial.params) for trial in stored} == {1, 2}
    assert hpo.best(1).params["optimizer"] == "momentum"
    with pytest.raises(DefinitionError, match=r"\[space\] momentum: the qmc sampler cannot"):
        hpo.start(place(home, "forked", space=space), sampler="qmc")
    decided = hpo.decide(1).decision
    assert set(decided.axes) == {"momentum", "optimizer"}
    summary = hpo.narrow(1, sampler="random", trials=10, ranges={"momentum": (0.9, 0.95)})
    assert summary.counts(summary.last).complete == 10


# Data


def test_the_description_is_stored_and_gives_the_noise(home: Path):
    definition = place(home, "accuracy", describe="tiny:describe", metric="val_accuracy")
    summary = hpo.start(definition, trials=4)
    assert summary.study.description == DESCRIPTION
    share = (0.9 * 100 + 2) / 104  # Agresti and Coull
    error = math.sqrt(share * (1 - share) / 104)
    assert standard_error(summary.study, 0.9) == pytest.approx(error)
    # A score that is no share of examples has no such error.
    loss = place(home, "valley", describe="tiny:describe", metric="val_loss", direction="minimize")
    assert standard_error(hpo.start(loss, trials=2).study, 0.5) is None
    assert standard_error(hpo.start(place(home), trials=2).study, 0.5) is None


def test_data_that_changed_is_refused(home: Path):
    definition = place(home, describe="tiny:describe")
    hpo.start(definition, trials=30)
    (home / "data").write_text("second")
    for changed in (lambda: hpo.narrow(1), lambda: hpo.resume(1, trials=31)):
        with pytest.raises(StateError, match="the data changed since study 1 was started") as told:
            changed()
        assert "first" in str(told.value)
        assert "second" in str(told.value)
        assert len(hpo.show(1).stages) == 1
        assert not hpo.show(1).last.open
    hpo.decide(1)  # looking is allowed
    (home / "data").write_text("first")
    assert hpo.resume(1).counts(hpo.show(1).last).open == 0


@pytest.mark.parametrize(
    ("describe", "message"),
    [
        ("describe_nothing", r"describe = 'tiny:describe_nothing' returned None; it must return"),
        (
            "describe_half",
            r"describe = 'tiny:describe_half' returned \{'train': 400, .*must return",
        ),
        ("describe_failing", "KeyError: 'samples'"),
        ("describe_exiting", "3 workers in a row died while they imported tiny:hill"),
        ("not_there", "describe = 'tiny:not_there': the module tiny has no 'not_there'"),
    ],
)
def test_a_description_that_is_none(home: Path, describe, message):
    with pytest.raises(ObjectiveError, match=message):
        hpo.start(place(home, describe=f"tiny:{describe}"), workers=2)
    assert not (home / "hpo.db").exists()


# Several processes


def test_two_processes_share_a_stage_exactly(home: Path):
    definition = place(home, fixed={"pause": 0.01}, search={"trials": 40})
    hpo.start(definition, timeout=0.001)
    command = [sys.executable, "-m", "hpo", "resume", "1", "--workers", "2", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    counts = {"complete": 40, "pruned": 0, "failed": 0, "open": 0}
    assert [answer["stages"][0]["counts"] for answer in answers] == [counts, counts]
    trials = trials_of()
    assert list(trials.trial) == list(range(40))
    assert len(hpo.curves(1)) == 120
    hpo.start(definition, storage="sqlite:///alone.db")
    assert bits(storage="sqlite:///alone.db") == bits()
    sound()


def test_many_studies_start_at_once_in_one_new_database(home: Path):
    definition = place(home, search={"trials": 4})
    with ThreadPoolExecutor(4) as threads:
        started = list(threads.map(lambda _: hpo.start(definition, workers=1).study, range(4)))
    assert sorted(study.name for study in started) == ["my", "my-2", "my-3", "my-4"]
    assert sorted(study.id for study in started) == [1, 2, 3, 4]
    sound()


def test_a_supervisor_that_was_killed_leaves_nothing_behind(home: Path):
    definition = place(home, "patient", search={"trials": 6})
    command = [sys.executable, "-m", "hpo", "start", str(definition), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    workers = running_workers(home, 2)
    process.kill()
    process.communicate(timeout=10)
    gone(workers)
    (home / "go").touch()
    summary = hpo.resume(1, workers=2)
    assert summary.counts(summary.last).complete == 6
    # The attempts were the supervisor's to lose: they do not use up max_attempts.
    assert [trial.attempt for trial in summary.of(summary.last)] == [2, 2, 1, 1, 1, 1]
    sound()


def running_workers(folder: Path, count: int) -> list[int]:
    """Wait until that many workers are at a trial, and return their process numbers."""
    deadline = time.monotonic() + 30
    while len(found := list(folder.glob("worker-*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [int(path.name.removeprefix("worker-")) for path in found]


def gone(workers: list[int]) -> None:
    """Wait until processes have ended."""
    deadline = time.monotonic() + 10
    for worker in workers:
        while Path(f"/proc/{worker}").exists():
            assert time.monotonic() < deadline, f"worker {worker} lives on"
            time.sleep(0.01)


def test_a_killed_worker_is_replaced_and_its_trial_runs_again(home: Path):
    definition = place(home, "patient", search={"trials": 3})
    with ThreadPoolExecutor(1) as thread:
        started = thread.submit(hpo.start, definition, workers=1)
        (worker,) = running_workers(home, 1)
        os.kill(worker, signal.SIGKILL)
        running_workers(home, 2)
        (home / "go").touch()
        summary = started.result(timeout=30)
    assert [trial.attempt for trial in summary.of(summary.last)] == [2, 1, 1]
    assert summary.counts(summary.last).complete == 3
    sound()


# From Python


def test_start_takes_a_definition_a_name_or_a_file(home: Path):
    made = hpo.define(tiny.hill, space={"x": X}, direction="maximize", search={"trials": 2})
    assert hpo.start(made).study.name == "hill"
    assert hpo.start(place(home), trials=2).study.name == "my"
    assert hpo.start("my.toml", trials=2, name="named").study.name == "named"
    quick = hpo.start("digits", quick=True, trials=2, settings={"epochs": 1})
    assert quick.study.name == "digits-quick"
    assert len(hpo.curves("digits-quick")) == 2
    assert [summary.study.id for summary in overview.list_studies()] == [1, 2, 3, 4]
    assert hpo.show(3).study == hpo.show("named").study
    with pytest.raises(NotFoundError, match=r"no study 9 in .*There are: 1 hill, 2 my, 3 named, 4"):
        hpo.show(9)


def test_names(home: Path):
    definition = place(home, search={"trials": 1})
    names = [hpo.start(definition).study.name for _ in range(3)]
    assert names == ["my", "my-2", "my-3"]
    with pytest.raises(StateError, match=r"there is a study called 'my-2' already.*hpo resume 2 "):
        hpo.start(definition, name="my-2")
    with pytest.raises(DefinitionError, match="all digits"):
        hpo.start(definition, name="12")
    assert len(overview.list_studies()) == 3


def test_resume_of_a_finished_study_runs_nothing(home: Path):
    hpo.start(place(home, search={"trials": 5}))
    summary = hpo.resume(1)
    assert summary.ended is None
    assert summary.counts(summary.last).complete == 5
    with pytest.raises(StateError, match="a budget of 5 trials, which can only grow"):
        hpo.resume(1, trials=4)
    assert hpo.resume(1, trials=5).ended is None
    grown = hpo.resume(1, trials=7)
    assert grown.ended is Ended.FINISHED
    assert grown.last.budget == grown.counts(grown.last).complete == 7
    # The first trials of a stage do not depend on how many follow.
    hpo.start("my.toml", trials=7, storage="sqlite:///whole.db")
    assert bits() == bits(storage="sqlite:///whole.db")


def test_settings_reach_the_objective_and_the_database(home: Path):
    summary = hpo.start(
        place(home, space={"x": X, "epochs": {"low": 1, "high": 9}}, fixed={"pause": 0, "new": []}),
        settings={"epochs": 2, "new": [1, "a"]},
        trials=3,
    )
    assert list(summary.last.space) == ["x"]
    assert summary.study.definition.fixed == {"pause": 0, "epochs": 2, "new": [1, "a"]}
    assert (trials_of().steps == 2).all()
    # A later stage has them too.
    assert (hpo.narrow(1, ranges={"x": (1e-4, 1e-2)}).counts(hpo.show(1).last)).complete == 3
    assert (trials_of().steps == 2).all()


def test_frames(home: Path):
    hpo.start(place(home, search={"trials": 3}))
    trials, curves = hpo.report(1), hpo.curves(1)
    assert isinstance(trials, pd.DataFrame)
    assert list(curves.columns) == [
        "study", "stage", "trial", "attempt", "step", "seconds", "gap", "half", "score",
    ]  # fmt: skip
    assert curves.gap.isna().all()
    assert (curves.half == curves.score / 2).all()
    assert (np.diff(curves.seconds.to_numpy().reshape(3, 3)) >= 0).all()


def test_missing_databases(home: Path):
    for look in (hpo.show, hpo.best, hpo.narrow, hpo.resume, hpo.report, hpo.curves, hpo.decide):
        with pytest.raises(DatabaseError, match=r"There is no database hpo.db"):
            look(1)
    assert list(home.iterdir()) == []


def test_a_stage_with_trials_of_others_does_not_grow(home: Path) -> None:
    """Its next trial could not have the number of its slot."""
    hpo.start(place(home, search={"trials": 2}), workers=1)
    optuna.load_study(study_name="my/1", storage=hpo.Storage("sqlite:///hpo.db")).ask()
    with pytest.raises(StateError, match=r"has trials that hpo did not make.*hpo narrow 1"):
        hpo.resume(1, trials=4)
    assert hpo.show(1).last.budget == 2
    assert not hpo.show(1).last.open
