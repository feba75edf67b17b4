"""Failures as evidence: beyond an edge they end a range, at random they end none."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_trials import UNIT, around, decided, ends, one, sampled, swept

from hpo.errors import NotEnoughTrials
from hpo.narrowing import BELOW_NOISE, NOTHING_LEARNS, Rule, missing
from hpo.narrowing.failures import Ground
from hpo.space import Choice, Float, Int, Space
from hpo.trial import Trial, TrialState

WIDE = Space({"momentum": Float(0.5, 1.24), "dropout": Float(0.0, 0.6)})
OLD = Space({"momentum": Float(0.5, 0.99), "dropout": Float(0.0, 0.6)})
FAR = {"momentum": (0.0, 2.0), "dropout": (0.0, 2.0), "x": (-9.0, 9.0)}


def failed(t: Trial, reason: str = "error") -> Trial:
    return replace(t, value=None, state=TrialState.FAIL, reason=reason, diverged_at=None)


def failing(trials: Sequence[Trial], reason: str = "error") -> list[Trial]:
    """Trials of which those with a NaN have failed."""
    return [failed(t, reason) if t.diverged else t for t in trials]


def legal(p: Mapping[str, Any]) -> float:
    """Better with more momentum, up to 1; what an objective that raises beyond it gives."""
    return math.nan if p["momentum"] >= 1 else float(p["momentum"]) - 0.1 * float(p["dropout"])


def crowded(n: int = 40) -> list[Trial]:
    """A stage of which most trials lie beyond 1, and those of the narrower one before it."""
    rng = random.Random(2)
    space = Space({"momentum": Float(0.9, 1.24), "dropout": Float(0.0, 0.3)})
    second = failing(sampled(space, legal, n, rng.randrange(99)))
    return [replace(t, stage=2) for t in second] + sampled(OLD, legal, n)


def test_a_range_ends_where_trials_fail_and_is_not_widened() -> None:
    trials = failing(sampled(WIDE, legal))
    decision = decided(WIDE, trials, limits=FAR)
    momentum = decision.axes["momentum"]
    low, high = ends(momentum.new)
    assert momentum.action == "narrow"
    assert 0.6 < low < 0.99
    assert 1.0 <= high < 1.03
    assert momentum.reason.endswith(", training fails above")
    assert momentum.numbers["cliff"] == {"upper": pytest.approx(0.5 / 0.74, abs=0.02)}
    assert momentum.numbers["lean"] is None
    assert decision.warnings == ()
    assert ends(momentum.old) == (0.5, 1.24)
    # Where the optima lie is told in twentieths of the old range; none lies among the failures.
    assert sum(momentum.numbers["optima"]) == pytest.approx(1.0)
    assert sum(momentum.numbers["optima"][14:]) == 0.0
    assert momentum.numbers["kept"] == pytest.approx((high - low) / 0.74, abs=0.02)


def test_below_and_beyond_a_range_of_whole_numbers_too() -> None:
    below = one(UNIT, failing(swept(UNIT, lambda x: 1 - x if x > 0.3 else math.nan)), limits=FAR)
    assert 0.27 < ends(below.new)[0] <= 0.3
    assert below.reason.endswith(", training fails below")
    layers = Int(1, 8)
    trials = failing(swept(layers, lambda n: math.nan if n > 5 else n / 10))
    decision = one(layers, trials, limits={"x": (1, 20)})
    assert ends(decision.new)[1] == 5
    assert decision.action == "narrow"


def test_a_stage_that_mostly_failed_is_cut_by_what_the_stages_before_show() -> None:
    trials = crowded()
    space = Space({"momentum": Float(0.9, 1.24), "dropout": Float(0.0, 0.3)})
    scored = [t for t in trials if t.value is not None and space.contains(t.params)]
    assert len(scored) < 30
    decision = decided(space, trials, limits=FAR)
    low, high = ends(decision.space["momentum"])
    assert low == 0.9
    assert 1.0 <= high < 1.05
    assert decision.space["dropout"] == space["dropout"]
    momentum, dropout = decision.axes.values()
    assert momentum.reason == f"{len(scored)} trials are too few to say more, training fails above"
    assert dropout.reason == f"{len(scored)} trials are too few to decide, 30 are needed"
    assert missing(space, trials, "maximize") <= 0
    assert decision.stop is None


def test_failures_of_few_trials_do_not_hide_that_trials_are_missing() -> None:
    trials = crowded(20)
    space = Space({"momentum": Float(0.9, 1.24), "dropout": Float(0.0, 0.3)})
    with pytest.raises(NotEnoughTrials):
        decided(space, [t for t in trials if t.stage == 2])
    assert missing(space, [t for t in trials if t.stage == 2], "maximize") == 10


def test_what_failed_once_is_not_entered_again() -> None:
    """The failures lie outside of the range by now, between it and its limit."""
    beyond = [replace(t, stage=2) for t in failing(sampled(WIDE, legal)) if t.value is None]
    space = Space({"momentum": Float(0.8, 0.95), "dropout": Float(0.0, 0.6)})
    inside = sampled(space, legal)
    free = decided(space, inside, limits=FAR).axes["momentum"]
    assert ends(free.new)[1] == pytest.approx(1.025)
    held = decided(space, inside + beyond, limits=FAR).axes["momentum"]
    first = min(t.params["momentum"] for t in beyond)
    assert ends(held.new)[1] == first < 1.025


@pytest.mark.parametrize("reason", ["lost", "timeout", "memory", "told"])
def test_what_may_be_bad_luck_ends_no_range(reason: str) -> None:
    trials = failing(sampled(WIDE, legal), reason)
    assert decided(WIDE, trials) == decided(WIDE, [t for t in trials if t.value is not None])


def test_a_divergence_without_a_score_is_a_failure_of_the_setting() -> None:
    trials = failing(sampled(WIDE, legal), "diverged")
    assert ends(decided(WIDE, trials, limits=FAR).space["momentum"])[1] < 1.03


@pytest.mark.parametrize("n", [30, 100])
def test_failures_at_random_end_no_range(n: int) -> None:
    space, cut = Space({"x": UNIT, "y": UNIT}), 0
    for seed in range(100):
        rng = random.Random(seed)
        every = sampled(space, lambda p: around(0.5)(p["x"]), n, seed)
        trials = [failed(t) if rng.random() < 0.05 else t for t in every]
        cut += bool(Ground.of(space, trials, "maximize").ends)
    assert cut <= 2


def test_one_failure_beyond_all_others_ends_no_range() -> None:
    trials = swept(UNIT, lambda x: x)
    trials[-1] = failed(trials[-1])
    assert decided(UNIT, trials, limits=FAR) == decided(UNIT, trials[:-1], limits=FAR)
    trials[-2] = failed(trials[-2])
    assert one(UNIT, trials, limits=FAR).reason.endswith("training fails above")


def test_failures_that_another_parameter_explains_end_its_range_alone() -> None:
    decision = decided(WIDE, failing(sampled(WIDE, legal)), limits=FAR)
    assert "fails" not in decision.axes["dropout"].reason
    space = Space({"x": UNIT, "kind": Choice(("a", "b"))})
    trials = failing(sampled(space, lambda p: p["x"] if p["kind"] == "a" else math.nan))
    assert Ground.of(space, trials, "maximize").ends == {}


def test_ranges_of_two_parameters_can_end() -> None:
    def score(p: Mapping[str, Any]) -> float:
        return math.nan if p["dropout"] > 0.5 else legal(p)

    ground = Ground.of(WIDE, failing(sampled(WIDE, score)), "maximize")
    assert set(ground.ends) == {("momentum", "upper"), ("dropout", "upper")}


def test_the_best_are_never_beyond_the_end() -> None:
    trials = swept(UNIT, lambda x: x if x < 0.5 or x > 0.98 else math.nan)
    assert Ground.of(Space({"x": UNIT}), failing(trials), "maximize").ends == {}


def test_a_setting_has_failed_if_all_of_its_replicates_have() -> None:
    singles = failing(sampled(WIDE, legal, 60))
    twice = [replace(t, number=2 * t.number + i) for t in singles for i in (0, 1)]
    alone = Ground.of(WIDE, singles, "maximize")
    assert Ground.of(WIDE, twice, "maximize", replicates=2).ends == alone.ends
    half = [
        replace(t, value=0.1, state=TrialState.COMPLETE, reason=None) if t.number % 2 else t
        for t in twice
    ]
    assert Ground.of(WIDE, half, "maximize", replicates=2).ends == {}


def test_a_range_set_by_hand_is_not_cut() -> None:
    decision = decided(WIDE, failing(sampled(WIDE, legal)), ranges={"momentum": (0.5, 1.2)})
    assert ends(decision.space["momentum"]) == (0.5, 1.2)


def test_what_a_range_set_by_hand_explains_no_other_has_to() -> None:
    # As if low dropouts had been tried with large momenta alone.
    trials = [
        replace(t, params={**t.params, "dropout": 0.1 * t.params["dropout"]})
        if t.params["momentum"] >= 1
        else replace(t, params={**t.params, "dropout": 0.1 + 0.8 * t.params["dropout"]})
        for t in failing(sampled(WIDE, legal))
    ]
    decision = decided(WIDE, trials, ranges={"momentum": (0.5, 1.2)})
    assert ends(decision.space["dropout"])[0] == 0.0
    assert "fails" not in decision.axes["dropout"].reason


def test_where_nothing_learns_no_range_grows_into_failures() -> None:
    def score(p: Mapping[str, Any]) -> float:
        return math.nan if p["momentum"] >= 1 else 0.1

    trials = failing(sampled(WIDE, score))
    decision = decided(WIDE, trials, limits=FAR, noise=0.04, chance=0.1)
    assert {axis.reason for axis in decision.axes.values()} == {NOTHING_LEARNS}
    low, high = ends(decision.space["momentum"])
    assert low < 0.5
    assert high < 1.03
    assert ends(decision.space["dropout"])[1] > 0.6
    alike = decided(WIDE, trials, limits=FAR, noise=0.04)
    assert {axis.reason for axis in alike.axes.values()} == {BELOW_NOISE}


def test_the_books_box_ends_there_too() -> None:
    decision = decided(WIDE, failing(sampled(WIDE, legal)), rule=Rule("book"))
    assert decision.axes["momentum"].reason.endswith(", training fails above")
