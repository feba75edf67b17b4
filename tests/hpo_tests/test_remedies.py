"""Remedies that `hpo check` names: each can be carried out as it is written."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from made_studies import confirmed, grown_to_its_limit, study
from made_trials import LR, UNIT, log_peak, noisy, sampled, trial

from hpo.cli import screens
from hpo.health import CHECKS
from hpo.health.case import Case
from hpo.space import Choice, Float, Int, Space
from hpo.summary import Summary

X = Space({"x": UNIT})


def told(check: str, summary: Summary) -> tuple[str, str, str | None]:
    verdict = CHECKS[check](Case(summary, {}))
    assert verdict is not None
    return verdict.status, verdict.message, verdict.remedy


@pytest.mark.parametrize(
    ("axis", "lost", "beyond", "by_hand"),
    [
        (Int(1, 10), lambda n: n >= 6, "6 or more", "1:6"),
        (Int(1, 10), lambda n: n <= 5, "5 or less", "5:10"),
        (Int(128, 1024, step=128), lambda n: n >= 600, "640 or more", "128:640"),
        (Int(8, 512, log=True), lambda n: n >= 64, "64 or more", "8:64"),
    ],
)
def test_beyond_the_rim_of_a_discrete_range_all_is_lost(
    axis: Int, lost: Any, beyond: str, by_hand: str
) -> None:
    space = Space({"n": axis})
    sign = -1 if lost(axis.low) else 1
    trials = sampled(space, lambda p: math.nan if lost(p["n"]) else sign * p["n"] / 1e4)
    _, message, remedy = told("diverged", study(space, trials))
    many = sum(t.diverged for t in trials)
    assert message == f"{many} of 100 trials diverged, {many} of them with n of {beyond}"
    assert remedy == f"hpo narrow 1 --range n={by_hand}"


@pytest.mark.parametrize(
    ("axis", "rim"), [(Int(1234, 99999), 50_000), (Float(1000.0, 1010.0), 1004.0)]
)
def test_the_end_that_stays_stays_to_its_last_digit(axis: Any, rim: float) -> None:
    space = Space({"x": axis})
    trials = sampled(space, lambda p: math.nan if p["x"] >= rim else p["x"] / 1e5)
    _, _, remedy = told("diverged", study(space, trials))
    assert remedy is not None
    low, high = map(float, remedy.partition("x=")[2].split(":"))
    assert low == axis.low
    assert rim <= high < rim * 1.05
    best_at_the_end = sampled(space, lambda p: p["x"] / 1e5)
    _, _, remedy = told("edge", grown_to_its_limit(study(space, best_at_the_end), "x"))
    assert remedy is not None
    assert remedy.startswith(f"hpo narrow 1 --range x={axis.low:g}:".replace("1e+03", "1000"))


def test_where_no_choice_learns_there_is_no_range_to_set() -> None:
    space = Space({"kind": Choice(("a", "b", "c"))})
    chance = sampled(space, lambda p: 0.1, n=40)
    for sampler in ("random", "grid"):
        status, _, remedy = told("flat", study(space, chance, validation=100, sampler=sampler))
        assert (status, remedy) == (
            "fail",
            "Mend the training, or search a parameter with a range: no choice learns here",
        )


def test_the_value_to_fix_is_one_that_the_parameter_can_have() -> None:
    space = Space({"lr": LR, "momentum": Choice((0.99951,)), "decay": Float(0.9991, 0.99951)})
    trials = sampled(space, noisy(log_peak(1e-4), 0.1))
    _, _, remedy = told("idle", study(space, trials))
    assert remedy is not None
    assert 0.9991 <= float(remedy.partition("decay=")[2]) <= 0.99951
    space = Space({"lr": LR, "momentum": Choice((0.12345, 0.98765)), "decay": Float(0.0, 4.0)})
    trials = sampled(space, noisy(log_peak(1e-4), 0.03))
    _, message, remedy = told("idle", study(space, trials))
    assert "no influence of momentum and decay can be seen, so fix them in" in message
    assert remedy is not None
    _, momentum, decay = (word.partition(" ")[0] for word in remedy.split("--set "))
    assert momentum in ("momentum=0.12345", "momentum=0.98765")
    assert re.fullmatch(r"decay=\d\.\d{1,2}", decay)


def test_confirmed_settings_that_lost_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    trials = sampled(X, lambda p: 0.8 + 0.1 * p["x"], n=40)
    summary = confirmed(
        study(X, trials), [t.params for t in trials[:2]], [[0.9, 0.8, 0.7, 0.6]] * 2
    )

    def losing(*numbers: int) -> Summary:
        *before, last = summary.trials
        lost = [replace(t, diverged_at=1) if t.number in numbers else t for t in last]
        return Summary(summary.study, summary.stages, [*before, lost])

    status, message, remedy = told("noise", losing(0, 5))
    assert (status, remedy) == ("warn", "hpo confirm 1 --top 4")
    assert message.startswith("confirmed with 4 fresh seeds: ")
    assert message.endswith("; but 1 of these seeds gave no score, and the others lost no fewer")
    screens.best(losing(0, 5))
    assert ", mean of 3 of 4 fresh seeds (trial 2/" in capsys.readouterr().err
    assert told("noise", losing(0))[0] == "pass"  # the other one lost none
    assert told("noise", losing(0, 1, 5, 6)) == (
        "warn",
        "of 2 confirmed settings, each lost at least half of its fresh seeds",
        "hpo confirm 1",
    )


def test_what_is_open_is_finished_before_it_is_confirmed() -> None:
    blurred = sampled(X, noisy(lambda p: 0.8 - 0.1 * abs(p["x"] - 0.6), 0.04), n=40)
    summary = study(X, blurred, validation=100, open=True, budget=60)
    assert told("noise", summary)[2] == "hpo resume 1, then hpo confirm 1"


def test_a_grid_of_more_than_was_tried_is_no_remedy() -> None:
    large = Space({"n": Int(1, 300), "m": Int(1, 300)})
    crowded = [trial(i, {"n": 1 + i // 2, "m": 3}, 0.5) for i in range(40)]
    _, message, remedy = told("duplicates", study(large, crowded))
    assert message.endswith("; the space has 90,000")
    assert remedy == "Vary more parameters, or replicate on purpose: seeds in [search]"
