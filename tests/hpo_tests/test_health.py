"""What each check of a study says: one that is well, and one that is not."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from typing import Any

import pytest
from made_studies import confirmed, grown_to_its_limit, study
from made_trials import LR, UNIT, WD, log_peak, noisy, sampled, trial, valued

from hpo.health import CHECKS, verdicts
from hpo.health.case import Case
from hpo.health.verdict import Verdict
from hpo.origin import Origin
from hpo.space import Choice, Float, Int, Space
from hpo.summary import Summary
from hpo.trial import Trial, TrialState

X = Space({"x": UNIT})
TWO = Space({"lr": LR, "weight_decay": WD})


def asked(check: str, summary: Summary, curves: Any = None) -> Verdict | None:
    return CHECKS[check](Case(summary, curves or {}))


def told(check: str, summary: Summary, curves: Any = None) -> tuple[str, str, str | None]:
    verdict = asked(check, summary, curves)
    assert verdict is not None
    return verdict.status, verdict.message, verdict.remedy


def rows(n: int, of: int, **more: Any) -> list[Trial]:
    """Trials of which the first n are otherwise than the rest."""
    return [
        trial(i, {"x": i / of}, None if more.get("state") is TrialState.FAIL else 0.1, **more)
        if i < n
        else trial(i, {"x": i / of}, 0.5 + i / of / 10)
        for i in range(of)
    ]


# Open, trials ------------------------------------------------------------------------------------


def test_open() -> None:
    trials = sampled(X, lambda p: p["x"], n=10)
    assert told("open", study(X, trials)) == ("pass", "the stage is finished", None)
    assert told("open", study(X, trials, trials))[1] == "all 2 stages are finished"
    running = [*trials, trial(10, {"x": 0.5}, None, state=TrialState.RUNNING)]
    assert told("open", study(X, trials, running, open=True, budget=20)) == (
        "warn",
        "stage 2 is open: 10 of 20 trials are not counted yet, 1 of them run now",
        "hpo resume 1",
    )


def test_trials() -> None:
    assert told("trials", study(X, sampled(X, lambda p: p["x"], n=30))) == (
        "pass",
        "trials with a score: 30, narrowing needs 30",
        None,
    )
    few = sampled(X, lambda p: p["x"], n=12)
    message = "trials with a score: 12, narrowing needs 30"
    assert told("trials", study(X, few)) == ("warn", message, "hpo resume 1 --trials 30")
    assert told("trials", study(X, few, open=True))[2] == "hpo resume 1"
    assert told("trials", study(X, few, sampler="grid"))[0] == "pass"
    failed = [trial(i, {"x": 0.5}, None, state=TrialState.FAIL) for i in range(30)]
    assert told("trials", study(X, failed))[::2] == ("fail", "hpo show 1")


def test_the_value_of_a_diverged_trial_is_no_score() -> None:
    assert told("trials", study(X, rows(12, 40, diverged_at=3)))[:2] == (
        "pass",
        "trials with a score: 28, narrowing needs 30, and 12 that diverged count too",
    )
    lost = [trial(i, {"x": 0.5}, 0.1, diverged_at=1) for i in range(3)]
    message = (
        "settings of 3 seeds with a score: 0, narrowing needs 30, and 1 that diverged counts too"
    )
    assert told("trials", study(X, lost, seeds=3))[:2] == ("warn", message)


def test_trials_of_replicates_are_settings() -> None:
    trials = [trial(i, {"x": (i // 3) / 20}, 0.5 + i / 100) for i in range(60)]
    assert told("trials", study(X, trials, seeds=3))[1:] == (
        "settings of 3 seeds with a score: 20, narrowing needs 30",
        "hpo resume 1 --trials 90",
    )


# Failed, diverged --------------------------------------------------------------------------------


def test_failed() -> None:
    assert told("failed", study(X, rows(0, 40))) == ("pass", "0 of 40 trials failed", None)
    some = rows(3, 40, state=TrialState.FAIL, reason="timeout")
    some[0] = replace(some[0], reason="error")
    assert told("failed", study(X, some)) == (
        "warn",
        "3 of 40 trials failed: 2 ran into the time limit, 1 raised an exception",
        "hpo show 1 --debug",
    )
    half = rows(20, 40, state=TrialState.FAIL, reason="lost")
    assert told("failed", study(X, half))[0] == "fail"


def test_diverged() -> None:
    assert told("diverged", study(X, rows(0, 40)))[:2] == ("pass", "0 of 40 trials diverged")
    # Below x = 0.3 training diverges; but not at once, so that it is harmless.
    assert told("diverged", study(X, rows(12, 40, diverged_at=3))) == (
        "pass",
        "12 of 40 trials diverged, 12 of them with x of 0.275 or less",
        None,
    )
    status, message, remedy = told("diverged", study(X, rows(16, 40, diverged_at=3)))
    assert (status, remedy) == ("warn", "hpo narrow 1 --range x=0.375:1")
    assert message == "16 of 40 trials diverged, 16 of them with x of 0.375 or less"
    assert told("diverged", study(X, rows(20, 40, diverged_at=3)))[0] == "fail"


def test_divergence_of_another_cause_is_no_edge() -> None:
    rng = random.Random(0)
    trials = [
        valued(i, {"x": rng.random()}, math.nan if i % 2 else rng.random()) for i in range(60)
    ]
    status, message, remedy = told("diverged", study(X, trials))
    assert (status, message, remedy) == ("fail", "30 of 60 trials diverged", "hpo plot 1")
    # Only two of them lie beyond what the best reach.
    lost = {*range(1, 50, 2), 58, 59}
    inside = [
        trial(i, {"x": i / 60}, 0.1, diverged_at=1)
        if i in lost
        else trial(i, {"x": i / 60}, 1.0 if i in (0, 57) else 0.5)
        for i in range(60)
    ]
    assert told("diverged", study(X, inside))[:2] == ("warn", "27 of 60 trials diverged")
    everything = study(X, rows(40, 40, diverged_at=3), validation=100)
    assert told("diverged", everything)[2] == (
        "Give another range than the old one: hpo narrow 1 --range x=0:1"
    )
    assert asked("flat", everything) is None


# Flat, edge, idle --------------------------------------------------------------------------------


def test_flat() -> None:
    peak = sampled(TWO, lambda p: 0.9 + 0.1 * log_peak(1e-4)(p))
    status, message, _ = told("flat", study(TWO, peak, validation=1000))
    assert status == "pass"
    assert message.startswith("100 results lie between 0.")

    level = sampled(TWO, noisy(lambda p: 0.6, 0.02))
    summary = study(TWO, level, validation=500)
    status, message, remedy = told("flat", summary)
    assert status == "warn"
    assert message.endswith("that is no more than their noise")
    assert remedy is not None
    assert asked("edge", summary) is None
    assert asked("idle", summary) is None

    chance = sampled(TWO, noisy(lambda p: 0.1, 0.01))
    status, message, remedy = told("flat", study(TWO, chance, validation=1000))
    assert (status, remedy) == ("fail", "hpo narrow 1")
    assert "nothing learns here" in message
    assert asked("noise", study(TWO, chance, validation=1000)) is None
    stuck = {name: (axis.low, axis.high) for name, axis in (("lr", LR), ("weight_decay", WD))}
    _, _, remedy = told("flat", study(TWO, chance, validation=1000, limits=stuck))
    assert remedy == (
        "Mend the training: nothing learns, and the ranges are as wide as their limits allow. Or "
        "set wider ones by hand, if what lr and weight_decay can be does not end there"
    )
    assert asked("flat", study(TWO, peak[:29])) is None


@pytest.mark.parametrize("n", [30, 100])
def test_luck_is_no_influence_where_nothing_tells_the_noise(n: int) -> None:
    luck = study(TWO, sampled(TWO, noisy(lambda p: 0.1, 0.03), n=n))
    status, message, remedy = told("flat", luck)
    assert status == "warn"
    assert message.startswith("as far as can be seen, which setting is used tells nothing of the ")
    assert message.endswith(", and neighbours foretell no more of them than they would by luck")
    assert remedy is not None
    assert "seeds in [search]" in remedy
    assert asked("idle", luck) is None

    skill = study(TWO, sampled(TWO, noisy(log_peak(1e-4), 0.3), n=n))
    status, message, _ = told("flat", skill)
    assert status == "pass"
    assert re.search(r"; neighbours foretell [6-9]\d % of how they differ$", message)
    assert asked("idle", skill) is not None
    # Where the noise is known, nothing is asked of the neighbours.
    known = study(TWO, sampled(TWO, noisy(lambda p: 0.8, 0.04), n=n), validation=10_000)
    assert told("flat", known)[0] == "pass"


def test_luck_is_hardly_ever_taken_for_influence() -> None:
    cube = Space({"a": UNIT, "b": UNIT, "c": UNIT})
    statuses = [
        told("flat", study(cube, sampled(cube, noisy(lambda p: 0.1, 0.03, seed), n=50, seed=seed)))
        for seed in range(40)
    ]
    assert sum(status == "pass" for status, _, _ in statuses) <= 3


def test_edge() -> None:
    assert told("edge", study(TWO, sampled(TWO, log_peak(1e-4)))) == (
        "pass",
        "the optimum of lr, weight_decay leans on no edge that can be moved",
        None,
    )
    trials = sampled(TWO, log_peak(1.0))
    status, message, remedy = told("edge", study(TWO, trials))
    assert (status, remedy) == ("warn", "hpo narrow 1")
    assert "the optimum of lr lies at its upper edge 1e-02" in message
    assert told("edge", study(TWO, trials, open=True))[2] == "hpo resume 1, then hpo narrow 1"


def test_an_edge_that_limits_hold() -> None:
    trials = sampled(TWO, log_peak(1.0))
    limits = {"lr": (1e-8, 1e-2)}
    status, message, _ = told("edge", study(TWO, trials, limits=limits))
    assert status == "pass"
    assert message.endswith("; lr is best at its end 1e-02, where [limits] ends")
    status, message, remedy = told("edge", grown_to_its_limit(study(TWO, trials), "lr"))
    assert status == "warn"
    assert message.endswith(
        "`narrow` is at its limit: [limits] lr may allow more than the default does"
    )
    assert remedy == "hpo narrow 1 --range lr=1e-06:1"


def test_an_edge_with_nothing_beyond() -> None:
    status, message, _ = told("edge", study(X, sampled(X, lambda p: -p["x"])))
    assert status == "pass"
    assert message.endswith("x is best at its end 0")


def test_idle() -> None:
    both = sampled(TWO, lambda p: log_peak(1e-4)(p) - 0.5 * abs(math.log10(p["weight_decay"]) + 6))
    assert told("idle", study(TWO, both))[0] == "pass"
    one = sampled(TWO, noisy(log_peak(1e-4), 0.1))
    status, message, remedy = told("idle", study(TWO, one))
    assert status == "warn"
    assert message.startswith("no influence of weight_decay can be seen, ")
    assert remedy is not None
    assert remedy.startswith("Start the next study with --set weight_decay=")
    _, _, remedy = told("idle", study(TWO, one, origin=Origin("digits", quick=True)))
    assert remedy is not None
    assert remedy.startswith("hpo start digits --quick --set weight_decay=")


def test_a_parameter_with_two_optima_is_not_idle() -> None:
    # At both edges: the optimum may lie anywhere, and half of the range would do.
    trials = sampled(TWO, lambda p: 5 * abs(math.log10(p["weight_decay"]) + 6) + log_peak(1e-4)(p))
    status, message, _ = told("idle", study(TWO, trials))
    assert (status, "weight_decay 9" in message) == ("pass", True)


def test_what_matters_only_near_the_optimum_is_not_idle() -> None:
    # Over the whole box it makes less than 1 % of the differences.
    def score(p: Any) -> float:
        height = 1 - 0.1 * (math.log10(p["weight_decay"]) + 8) / 4
        return 0.1 + 0.8 * math.exp(-0.5 * ((math.log10(p["lr"]) + 4) / 0.4) ** 2) * height

    trials = sampled(TWO, score)
    status, message, _ = told("idle", study(TWO, trials))
    assert (status, "weight_decay below 1 %" in message) == ("pass", True)


def test_what_narrow_cuts_is_not_idle_however_little_it_does() -> None:
    trials = sampled(
        TWO, lambda p: log_peak(1e-4)(p) - 0.05 * abs(math.log10(p["weight_decay"]) + 6)
    )
    status, message, _ = told("idle", study(TWO, trials))
    assert (status, "weight_decay below 1 %" in message) == ("pass", True)


def test_a_single_choice_is_not_called_idle() -> None:
    assert told("idle", ODD["one choice"])[1] == "share of the differences: x 100 %"


def test_a_parameter_that_goes_with_a_choice_leans_on_nothing() -> None:
    # `narrow` drops the choice b, and the momentum with it.
    space = Space({"kind": Choice(("a", "b")), "momentum": Float(0.5, 0.9, when={"kind": ("b",)})})
    trials = sampled(space, lambda p: 5.0 if p["kind"] == "a" else p["momentum"], n=200)
    assert asked("edge", study(space, trials)) is None


def test_an_idle_choice() -> None:
    space = Space({"lr": LR, "kind": Choice(("a b", "c"))})
    trials = sampled(space, noisy(log_peak(1e-4), 0.1))
    status, _, remedy = told("idle", study(space, trials))
    assert status == "warn"
    best = max(trials, key=lambda t: t.value or 0.0).params["kind"]
    assert remedy is not None
    assert remedy.endswith(f" --set 'kind=\"{best}\"'")
    better = sampled(space, noisy(lambda p: log_peak(1e-4)(p) + 2 * (p["kind"] == "c"), 0.1))
    assert told("idle", study(space, better))[0] == "pass"


# Curves, overfit ---------------------------------------------------------------------------------


def drawn(steps: int, score: Any, training: float = 0.0, n: int = 5, metric: str = "val_accuracy"):
    rng = random.Random(0)
    return {
        i: [
            {metric: score(s / steps) + rng.gauss(0, 0.003), "train_accuracy": training}
            for s in range(steps)
        ]
        for i in range(n)
    }


def test_curves() -> None:
    summary = study(X, sampled(X, lambda p: p["x"]), fixed={"epochs": 50})
    settled = drawn(50, lambda t: 0.9 - 0.8 * math.exp(-10 * t))
    status, message, _ = told("curves", summary, settled)
    assert status == "pass"
    assert message.startswith("val_accuracy of the best 5 trials has settled: ")
    assert message.endswith(" over the 10 steps before the last of 50")

    status, message, remedy = told("curves", summary, drawn(50, lambda t: 0.1 + 0.5 * t))
    assert status == "warn"
    assert message == (
        "val_accuracy of the best 5 trials still improves: +0.1 over the 10 steps before the last "
        "of 50"
    )
    assert remedy == "Start the next study with --set epochs=100"
    began = Origin("digits", settings={"epochs": 50, "init": "he"})
    summary = study(X, sampled(X, lambda p: p["x"]), fixed={"epochs": 50}, origin=began)
    _, _, remedy = told("curves", summary, drawn(50, lambda t: 0.1 + 0.5 * t))
    assert remedy == "hpo start digits --set epochs=100 --set 'init=\"he\"'"

    status, message, _ = told("curves", summary, drawn(50, lambda t: t * (1 - t)))
    assert (status, "gets worse: -0" in message) == ("warn", True)


def test_curves_of_a_loss() -> None:
    about = {"metric": "val_loss", "direction": "minimize"}
    summary = study(X, sampled(X, lambda p: p["x"]), **about)
    _, message, remedy = told("curves", summary, drawn(50, lambda t: 2 - t, metric="val_loss"))
    assert "still improves: -0.2 over" in message
    assert remedy == "Train longer in the next study"


def test_curves_that_do_not_agree_have_settled() -> None:
    summary = study(X, sampled(X, lambda p: p["x"]))
    ends = [0.8, 0.35, 0.8, 0.45, 0.6]  # their mean gain is 1.1 times its standard error
    curves = {
        i: [{"val_accuracy": 0.5}] * 8 + [{"val_accuracy": v}] * 2 for i, v in enumerate(ends)
    }
    assert told("curves", summary, curves)[0] == "pass"


@pytest.mark.parametrize("steps", [5, 9, 10, 50])
def test_the_lucky_last_step_of_the_best_is_no_improvement(steps: int) -> None:
    summary = study(X, sampled(X, lambda p: p["x"]))
    rng = random.Random(0)
    found = []
    for _ in range(100):
        every = [[rng.gauss(0.5, 0.03) for _ in range(steps)] for _ in range(60)]
        best = sorted(every, key=lambda scores: -scores[-1])[:5]
        curves = {i: [{"val_accuracy": v} for v in scores] for i, scores in enumerate(best)}
        found.append(told("curves", summary, curves)[0])
    assert found.count("warn") <= 10


@pytest.mark.parametrize("steps", [5, 9, 10])
def test_short_curves_that_rise(steps: int) -> None:
    summary = study(X, sampled(X, lambda p: p["x"]))
    status, message, _ = told("curves", summary, drawn(steps, lambda t: t))
    part = "2 steps" if steps == 10 else "step"
    assert (status, message.endswith(f" over the {part} before the last of {steps}")) == (
        "warn",
        True,
    )


@pytest.mark.parametrize(("rate", "status"), [(4, "warn"), (7, "pass")])
def test_curves_still_move_from_a_fiftieth_of_all_on(rate: float, status: str) -> None:
    # Over the last fifth they gain 3.4 % of all, and 0.6 %.
    curves = drawn(50, lambda t: 0.9 - 0.8 * math.exp(-rate * t))
    assert told("curves", study(X, sampled(X, lambda p: p["x"])), curves)[0] == status


@pytest.mark.parametrize(
    "curves", [{}, drawn(4, lambda t: t), drawn(50, lambda t: t, n=2), drawn(9, lambda t: math.nan)]
)
def test_curves_that_say_nothing(curves: Any) -> None:
    assert asked("curves", study(X, sampled(X, lambda p: p["x"])), curves) is None


def test_overfit() -> None:
    summary = study(X, sampled(X, lambda p: p["x"]))
    assert told("overfit", summary, drawn(9, lambda t: 0.9, 0.95))[0] == "pass"
    status, message, _ = told("overfit", summary, drawn(9, lambda t: 0.8, 1.0))
    assert (status, message) == (
        "warn",
        "train_accuracy 1, val_accuracy 0.797: mean of the best 5",
    )
    loss = study(X, sampled(X, lambda p: p["x"]), metric="val_loss", direction="minimize")
    assert asked("overfit", loss, drawn(9, lambda t: 0.8, 1.0)) is None


# Validation, noise -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "status"), [(1000, "pass"), (999, "warn"), (100, "warn"), (99, "fail")]
)
def test_validation(size: int, status: str) -> None:
    trials = [trial(i, {"x": i / 10}, i / 10) for i in range(10)]
    found, message, remedy = told("validation", study(X, trials, validation=size))
    assert found == status
    assert (remedy is None) == (status == "pass")
    if size == 100:
        assert re.match(r"100 examples: 0\.8\d+ is ± 0\.03\d; ", message)
        assert remedy is not None
        assert re.match(r"± 0\.01\d takes about 400 examples; ", remedy)


def test_a_validation_set_that_nobody_knows() -> None:
    trials = [trial(i, {"x": i / 10}, i / 10) for i in range(10)]
    status, message, remedy = told("validation", study(X, trials))
    assert (status, "no `describe`" in message) == ("warn", True)
    assert remedy is not None
    assert 'describe = "module:function"' in remedy
    assert asked("validation", study(X, trials, metric="val_loss")) is None
    scores = [replace(t, value=10.0) for t in trials]
    assert asked("validation", study(X, scores)) is None


def test_noise() -> None:
    sharp = sampled(X, lambda p: 0.9 - 0.8 * abs(p["x"] - 0.6), n=40)
    assert told("noise", study(X, sharp, validation=1_000_000))[::2] == ("pass", None)
    blurred = sampled(X, noisy(lambda p: 0.8 - 0.1 * abs(p["x"] - 0.6), 0.04), n=40)
    status, message, remedy = told("noise", study(X, blurred, validation=100))
    assert (status, remedy) == ("warn", "hpo confirm 1")
    assert "settings of 40 cannot be told apart from the best" in message
    assert "one result is ± 0.0" in message
    assert asked("noise", study(X, sharp[:1])) is None


def test_the_noise_of_confirmed_settings() -> None:
    trials = sampled(X, noisy(lambda p: 0.8, 0.04), n=40)
    settings = [trials[i].params for i in range(3)]
    scores = [[0.90, 0.92, 0.91, 0.93], [0.90, 0.91, 0.92, 0.92], [0.5, 0.52, 0.51, 0.53]]
    status, message, _ = told("noise", confirmed(study(X, trials), settings, scores))
    assert status == "pass"
    assert message.startswith("confirmed with 4 fresh seeds: 0.915, with 95 % between ")
    assert message.endswith("; 1 of 2 others cannot be told apart from it")


def test_a_confirmation_that_newer_trials_follow_is_not_enough() -> None:
    trials = sampled(X, noisy(lambda p: 0.8 - 0.1 * abs(p["x"] - 0.6), 0.01), n=40)
    best = max(trials, key=lambda t: t.value or 0.0)
    found = confirmed(study(X, trials), [best.params], [[0.80, 0.82, 0.81, 0.83]])
    assert told("noise", found)[0] == "pass"
    newer = replace(best, number=40, params={"x": 0.61}, value=0.82, slot_id=99)
    grown = replace(found, trials=[[*trials, newer], found.trials[1]])
    status, message, remedy = told("noise", grown)
    assert (status, remedy) == ("warn", "hpo confirm 1")
    assert message.endswith(" of 41 cannot be told apart from the best")


def test_confirmed_by_equal_scores() -> None:
    trials = sampled(X, noisy(lambda p: 0.8, 0.04), n=40)
    settings = [trials[i].params for i in range(2)]
    assert told("noise", confirmed(study(X, trials), settings, [[0.92] * 2, [0.91] * 2])) == (
        "warn",
        "confirmed with 2 fresh seeds: 0.92, the same with each, which does not tell how far "
        "others would differ",
        "hpo confirm 1 --top 2 --seeds 5",
    )
    remedy = told("noise", confirmed(study(X, trials), settings, [[0.92] * 5, [0.91] * 5]))[2]
    assert remedy == "The seed seems to change nothing: use run.seed for weights and batches"


# Duplicates --------------------------------------------------------------------------------------


def test_duplicates() -> None:
    assert told("duplicates", study(X, sampled(X, lambda p: p["x"]))) == (
        "pass",
        "0 of 100 settings were tried before",
        None,
    )
    small = Space({"n": Int(1, 3), "kind": Choice((True, 1))})
    again = sampled(small, lambda p: p["n"], n=20)
    different = {repr(t.params) for t in again}
    status, message, remedy = told("duplicates", study(small, again))
    assert status == "warn"
    assert message == f"{20 - len(different)} of 20 settings were tried before; the space has 6"
    assert remedy == "Start the next study with --sampler grid --trials 6"
    thrice = [trial(i, again[i // 3].params, 0.5) for i in range(60)]
    assert told("duplicates", study(small, thrice, seeds=3, origin=Origin("digits")))[2] == (
        "hpo start digits --sampler grid --trials 18"
    )


def test_replicates_are_no_duplicates() -> None:
    trials = [trial(i, {"x": (i // 3) / 20}, 0.5) for i in range(60)]
    assert told("duplicates", study(X, trials, seeds=3))[:2] == (
        "pass",
        "0 of 20 settings were tried before",
    )


def test_settings_of_another_stage_count() -> None:
    trials = sampled(X, lambda p: p["x"], n=10)
    later = [replace(t, stage=2) for t in trials]
    assert told("duplicates", study(X, trials, later))[:2] == (
        "warn",
        "10 of 20 settings were tried before",
    )


# Odd studies -------------------------------------------------------------------------------------

CONDITIONAL = Space(
    {
        "kind": Choice(("a", "b")),
        "momentum": Float(0.5, 0.9, when={"kind": ("b",)}),
        "lr": LR,
    }
)
PRUNED = [
    trial(i, {"x": i / 50}, 0.5 if i % 3 else None, state=TrialState.PRUNED) for i in range(50)
]
ODD: dict[str, Summary] = {
    "nothing begun": study(X, [], open=True, budget=5),
    "nothing finished": study(X, [trial(0, {"x": 0.5}, None, state=TrialState.RUNNING)], open=True),
    "all failed": study(X, rows(40, 40, state=TrialState.FAIL)),
    "all diverged": study(X, rows(40, 40, diverged_at=1), validation=100),
    "all diverged, half of the settings": study(X, rows(40, 40, diverged_at=1), seeds=2),
    "all failed by divergence": study(
        X, rows(40, 40, state=TrialState.FAIL, reason="diverged", diverged_at=0)
    ),
    "one trial": study(X, rows(0, 1), validation=100),
    "two trials": study(X, rows(0, 2)),
    "equal trials": study(X, [trial(i, {"x": 0.5}, 0.5) for i in range(40)]),
    "all pruned": study(X, PRUNED),
    "deleted": study(X, [trial(i, {}, None) for i in range(40)]),
    "conditional": study(CONDITIONAL, sampled(CONDITIONAL, log_peak(1e-4)), validation=100),
    "a choice that is never drawn": study(
        CONDITIONAL, [t for t in sampled(CONDITIONAL, log_peak(1e-4)) if t.params["kind"] == "a"]
    ),
    "choices only": study(
        Space({"kind": Choice(("a", "b", 3))}),
        sampled(Space({"kind": Choice(("a", "b", 3))}), noisy(lambda p: 0.5, 0.1), n=40),
    ),
    "one choice": study(
        Space({"kind": Choice(("a",)), "x": UNIT}),
        sampled(Space({"kind": Choice(("a",)), "x": UNIT}), lambda p: p["x"], n=40),
    ),
    "a grid of replicates": study(
        Space({"kind": Choice(("a", "b"))}),
        [trial(i, {"kind": "ab"[i // 5]}, 0.1 * i) for i in range(10)],
        seeds=5,
        sampler="grid",
        validation=10,
    ),
    "huge scores": study(X, sampled(X, lambda p: 1e300 * p["x"]), validation=100),
    "huge scores of both signs": study(X, sampled(X, lambda p: 1.7e308 * (2 * p["x"] - 1))),
    "a stage by hand": study(
        Space({"x": Float(5.0, 6.0)}), sampled(X, lambda p: p["x"]), validation=100
    ),
}


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # of huge scores
@pytest.mark.filterwarnings("ignore:invalid:RuntimeWarning")
@pytest.mark.parametrize("name", ODD)
def test_no_check_raises_on_an_odd_study(name: str) -> None:
    said = verdicts(ODD[name], {})
    assert [verdict.check for verdict in said] == [
        check for check in CHECKS if check in {verdict.check for verdict in said}
    ]
    for verdict in said:
        assert (verdict.remedy is None) == (verdict.status == "pass"), verdict
        assert "nan" not in verdict.message, verdict


@pytest.mark.parametrize("name", ["all failed", "all diverged", "all failed by divergence"])
def test_studies_that_say_nothing_fail(name: str) -> None:
    assert "fail" in {verdict.status for verdict in verdicts(ODD[name], {})}
