"""Searches whose trials failed or diverged: what `narrow` says, and that its command helps."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import done, run
from made_studies import study
from made_trials import LR, UNIT, sampled
from objectives.files import place

import hpo
from hpo.advice import advise
from hpo.health import verdicts
from hpo.setbacks import mostly_failed, nothing_scored
from hpo.space import Choice, Float, Int, Space
from hpo.trial import Trial, TrialState

SPACE = Space({"momentum": Float(0.5, 1.24), "dropout": UNIT})


def failed(t: Trial) -> Trial:
    error = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: too much of it'
    return replace(t, value=None, state=TrialState.FAIL, reason="error", error=error)


def stage(n: int, broken: Any) -> list[Trial]:
    return [failed(t) if broken(t) else t for t in sampled(SPACE, lambda p: p["momentum"], n)]


def told(found: Any, ask: Any) -> Any:
    last, trials = found.last, found.of(found.last)
    setback = ask(found.study, last, trials, trials)
    return setback and f"{setback.told}: hpo {setback.command}"


def test_what_is_widened_into_failures_comes_back(home: Path) -> None:
    momentum = {"low": 0.5, "high": 0.99}
    place(home, "bounded", space={"momentum": momentum}, search={"trials": 30})
    done("start", "my.toml")
    assert "the optimum lies at the upper edge" in done("narrow", "1").stderr
    second = hpo.show(1)
    lost = [t for t in second.of(second.last) if t.state is TrialState.FAIL]
    assert len(lost) >= 5
    shown = done("narrow", "1").stderr
    assert "training fails above" in shown
    third = hpo.show(1)
    axis = third.last.space["momentum"]
    assert isinstance(axis, Float)
    assert axis.high < second.last.space.axes["momentum"].high  # type: ignore[union-attr]
    again = [t for t in third.of(third.last) if t.state is TrialState.FAIL]
    assert len(again) < len(lost)


def test_too_few_because_most_failed_names_where_trials_succeeded() -> None:
    found = study(SPACE, stage(24, lambda t: t.params["momentum"] > 0.8))
    high = max(t.params["momentum"] for t in found.of(found.last) if t.value)
    lost = sum(t.value is None for t in found.of(found.last))
    said = told(found, mostly_failed)
    # Nothing failed below.
    by_hand = f"narrow 1 --from-stage 1 --range momentum=0.5:{high:.3g}"
    assert said == (
        f"{lost} of 24 trials of stage 1 failed, and more would, too. The first error: "
        f"ValueError: too much of it. Search where trials succeeded: hpo {by_hand}"
    )
    assert advise(found, found.last).command == by_hand
    (trials,) = [v for v in verdicts(found, {}) if v.check == "trials"]
    assert (trials.status, trials.remedy) == ("fail", f"hpo {by_hand}")


def test_failures_without_a_pattern_have_no_range_to_search() -> None:
    found = study(SPACE, stage(24, lambda t: t.number % 2))
    assert told(found, mostly_failed) is None
    assert advise(found, found.last).command.startswith("resume 1 --trials ")
    few = study(SPACE, stage(24, lambda t: t.params["momentum"] > 1.1))
    assert told(few, mostly_failed) is None


def test_ranges_by_hand_after_failures_are_searched(home: Path) -> None:
    momentum = {"low": 0.9, "high": 1.4}
    place(home, "bounded", space={"momentum": momentum}, search={"trials": 12})
    run("start", "my.toml")
    refused = run("narrow", "1")
    assert refused.exit_code == 1
    command = re.search(r"hpo (narrow 1 --from-stage 1 --range \S+)", refused.stderr)
    assert command is not None, refused.stderr
    done(*command[1].split())
    found = hpo.show(1)
    assert not any(t.state is TrialState.FAIL for t in found.of(found.last))


def test_where_all_failed_it_says_the_first_error(home: Path) -> None:
    place(home, "leaving", fixed={"how": "raise"}, search={"trials": 3})
    run("start", "my.toml")
    refused = run("narrow", "1")
    assert refused.exit_code == 1
    assert re.search(
        r"all 3 trials of stage 1 failed\. The first error: RuntimeError: no luck with .*\. "
        r"See where it comes from: hpo show 1 --debug$",
        " ".join(refused.stderr.split()),
    )
    assert "resume" not in refused.stderr
    assert "no luck with" in done("show", "1", "--debug").stdout


def test_where_all_diverged_it_names_a_smaller_learning_rate(home: Path) -> None:
    x = {"low": 1e-6, "high": 1e-2, "log": True}
    fixed = {"in": "score", "to": "nan"}
    place(home, "exploding", space={"width": {"low": 1, "high": 9}, "lr": x}, fixed=fixed,
          metric="score", search={"trials": 30})  # fmt: skip
    run("start", "my.toml")
    refused = run("narrow", "1")
    assert refused.exit_code == 1
    assert refused.stderr.count("diverged") == 1
    assert "confirm" not in refused.stderr
    assert "all 30 trials of stage 1 diverged" in refused.stderr
    command = "narrow 1 --from-stage 1 --range lr=1e-06:0.0001"
    assert f"the lower half of lr: hpo {command}" in " ".join(refused.stderr.split())
    assert "hpo narrow 1 --range lr=1e-06:0.0001" in run("check", "1").stdout
    run(*command.split())
    assert hpo.show(1).last.space["lr"] == Float(1e-6, 1e-4, log=True)


@pytest.mark.parametrize(
    ("axes", "command"),
    [
        ({"x": UNIT, "lr": LR}, "narrow 1 --from-stage 1 --range lr=1e-06:0.0001"),
        ({"learning_rate": Float(0, 3)}, "narrow 1 --from-stage 1 --range learning_rate=0:1.5"),
        ({"kind": Choice((1, 2)), "n": Int(2, 9)}, "narrow 1 --from-stage 1 --range n=2:9"),
        ({"kind": Choice((1, 2))}, "show 1"),
    ],
)
def test_the_cure_of_divergence_has_a_real_name(axes: Mapping[str, Any], command: str) -> None:
    space = Space(axes)
    found = study(space, sampled(space, lambda p: math.nan, 30))
    said = told(found, nothing_scored)
    assert said.startswith("all 30 trials of stage 1 diverged")
    assert said.endswith(f": hpo {command}")
    assert advise(found, found.last).command == command


def test_smaller_learning_rates_have_an_end() -> None:
    first = Space({"lr": LR, "wd": UNIT})
    for lr, command in (
        (LR, "narrow 1 --from-stage 1 --range lr=1e-06:0.0001"),
        (replace(LR, high=1e-4), "narrow 1 --from-stage 1 --range lr=1e-07:1e-06"),
        (replace(LR, low=1e-7, high=1e-6), "show 1"),
    ):
        space = Space({"lr": lr, "wd": UNIT})
        found = study(space, sampled(space, lambda p: math.nan, 30))
        about = replace(found.study.definition, space=first)
        found = replace(found, study=replace(found.study, definition=about))
        assert advise(found, found.last).command == command
    assert "Mend the training: smaller learning rates diverge, too" in told(found, nothing_scored)


def test_one_score_is_enough_to_go_on() -> None:
    for value, reason in ((0.5, None), (None, "lost")):
        trials = [failed(t) for t in sampled(SPACE, lambda p: 0.5, 30)]
        state = TrialState.COMPLETE if value else TrialState.FAIL
        trials[3] = replace(trials[3], value=value, state=state, reason=reason)
        found = study(SPACE, trials)
        assert bool(told(found, nothing_scored)) == (value is None)


def test_failures_that_show_an_end_are_enough_to_narrow() -> None:
    found = study(SPACE, stage(40, lambda t: t.params["momentum"] > 0.8))
    with_score = sum(t.value is not None for t in found.of(found.last))
    assert with_score < 30
    assert advise(found, found.last).command == "narrow 1"
    (trials,) = [v for v in verdicts(found, {}) if v.check == "trials"]
    assert (trials.status, trials.message) == (
        "pass",
        f"trials with a score: {with_score}, narrowing needs 30; "
        "but failures show where a range ends",
    )
