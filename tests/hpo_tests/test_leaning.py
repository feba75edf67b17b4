"""Best trials that crowd at an edge: what is said of a stage, whatever rule narrows it."""

import math

import pytest
from made_trials import LR, UNIT, WD, sampled, swept, trial

from hpo.narrowing import edge_warnings, leaning
from hpo.narrowing.chances import at_least
from hpo.narrowing.evidence import Evidence
from hpo.space import Choice, Int, Space


def test_the_binomial_tail_is_that_of_tables() -> None:
    assert at_least(3, 7, 0.1) == pytest.approx(0.0257, abs=5e-5)


@pytest.mark.parametrize(
    ("n", "k"), [(30, 7), (35, 7), (36, 8), (60, 12), (99, 20), (100, 20), (1000, 20)]
)
def test_the_best_are_a_fifth_of_the_trials(n: int, k: int) -> None:
    evidence = Evidence.of(Space({"x": UNIT}), swept(UNIT, lambda x: x, n), "maximize")
    assert len(evidence.best("x")) == k


def test_a_value_that_is_a_third_of_the_box_is_not_an_edge() -> None:
    # A third of the best at one of three values is what chance gives.
    space = Space({"x": Int(1, 3)})
    for seed in range(20):
        trials = sampled(space, lambda p: 0.1, seed=seed)
        assert leaning(space, trials, "maximize", {}) == []
        assert leaning(space, sampled(space, lambda p: p["x"], seed=seed), "maximize", {}) == [
            ("x", "upper")
        ]


def test_leaning_and_its_sentence() -> None:
    space = Space({"lr": LR, "weight_decay": WD, "kind": Choice(("a", "b"))})
    trials = sampled(space, lambda p: p["lr"])
    assert leaning(space, trials, "maximize", {}) == [("lr", "upper")]
    assert leaning(space, trials, "minimize", {}) == [("lr", "lower")]
    assert leaning(space, trials[:29], "maximize", {}) == []
    assert edge_warnings(space, trials, "maximize", {}) == [
        "lr: the best trials lie at its upper edge 1e-02; the optimum may be outside."
    ]


def test_the_edge_is_as_wide_as_a_tenth_of_the_trials() -> None:
    # Thinned out at the edge: 4 of the best 7 lie within 14 %, not one within 10 %.
    values = [0.8, 0.82, 0.84, 0.86, 0.87, 0.88, 0.89, *(i / 40 for i in range(28))]
    trials = [trial(i, {"x": v}, v) for i, v in enumerate(values)]
    assert leaning(Space({"x": UNIT}), trials, "maximize", {}) == [("x", "upper")]
    # But not wider than a fifth of the axis.
    trials = [trial(t.number, {"x": 0.85 * t.params["x"]}, t.value) for t in trials]
    assert leaning(Space({"x": UNIT}), trials, "maximize", {}) == []


def test_what_has_nothing_beyond_it_is_no_edge() -> None:
    space = Space({"dropout": UNIT, "layers": Int(1, 9), "lr": LR})
    trials = sampled(space, lambda p: -p["dropout"] - p["layers"] / 9)
    assert leaning(space, trials, "maximize", {}) == []
    assert edge_warnings(space, trials, "maximize", {}) == []
    # Who lets it grow there knows what lies beyond.
    beyond = {"dropout": (-1.0, 1.0), "layers": (1, 9)}
    assert leaning(space, trials, "maximize", beyond) == [("dropout", "lower")]
    assert leaning(space, trials, "minimize", {}) == [("dropout", "upper"), ("layers", "upper")]


def test_what_leans_on_a_cliff_does_not_lean_on_the_edge() -> None:
    space = Space({"x": UNIT})
    one_side = swept(UNIT, lambda x: x if x < 0.99 else math.nan)
    assert leaning(space, one_side, "maximize", {}) == []
    both_sides = swept(UNIT, lambda x: math.nan if round(x, 3) in (0.205, 0.995) else x)
    assert leaning(space, both_sides, "maximize", {}) == [("x", "upper")]


def test_a_diverged_trial_is_never_among_the_best() -> None:
    trials = [
        trial(t.number, t.params, 9.0, diverged_at=1) if t.number < 10 else t
        for t in swept(UNIT, lambda x: x)
    ]
    best = Evidence.of(Space({"x": UNIT}), trials, "maximize").best("x")
    assert [t.number for t in best] == list(range(99, 79, -1))


def test_where_everything_diverged_nothing_leans() -> None:
    assert leaning(Space({"x": UNIT}), swept(UNIT, lambda x: math.nan), "maximize", {}) == []
