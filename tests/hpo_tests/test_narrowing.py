"""How ranges follow from trials: each branch by hand, then promises on any evidence."""

import copy
import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.errors import DefinitionError, NotEnoughTrials, UsageError
from hpo.narrowing import (
    AxisDecision,
    Decision,
    Rule,
    decide,
    default_limits,
    edge_warnings,
    leaning,
    needed,
    parameters,
    usable,
)
from hpo.narrowing.chances import at_least, padding, range_point, upper_bound
from hpo.narrowing.ruler import cell, shrunk, text
from hpo.space import Axis, Choice, Float, Int, Space
from hpo.trial import Trial, TrialState, merged

LR = Float(1e-6, 1e-2, log=True)
WD = Float(1e-8, 1e-4, log=True)
UNIT = Float(0.0, 1.0)

Score = Callable[[Mapping[str, Any]], float]


def trial(number: int, params: Mapping[str, Any], value: float | None, **more: Any) -> Trial:
    return Trial(1, number, more.pop("state", TrialState.COMPLETE), params, value, **more)


def sampled(space: Space, score: Score, n: int = 100, seed: int = 0) -> list[Trial]:
    """A random stage; a score of NaN is a diverged trial at its floor value."""
    rng = random.Random(seed)
    trials = []
    for number in range(n):
        params = space.from_unit([rng.random() for _ in space])
        value = score(params)
        diverged = 3 if math.isnan(value) else None
        trials.append(trial(number, params, 0.1 if diverged else value, diverged_at=diverged))
    return trials


def swept(axis: Axis, score: Callable[[Any], float], n: int = 100) -> list[Trial]:
    """A stage over one axis `x`, evenly spaced, so that elites can be counted by hand."""
    values = [axis.from_unit((i + 0.5) / n) for i in range(n)]
    scores = [score(value) for value in values]
    return [
        trial(i, {"x": v}, 0.1 if math.isnan(s) else s, diverged_at=3 if math.isnan(s) else None)
        for i, (v, s) in enumerate(zip(values, scores, strict=True))
    ]


def decided(space: Space | Axis, trials: list[Trial], **more: Any) -> Decision:
    if not isinstance(space, Space):
        space = Space({"x": space})
    more = {"direction": "maximize", "limits": default_limits(space), "uniform": True} | more
    return decide(space, trials, **more)


def one(axis: Axis, trials: list[Trial], **more: Any) -> AxisDecision:
    return decided(axis, trials, **more).axes["x"]


def ends(axis: Axis | None) -> tuple[float, float]:
    assert isinstance(axis, Float | Int)
    return axis.low, axis.high


def around(optimum: float) -> Callable[[float], float]:
    return lambda x: -abs(x - optimum)


def log_peak(optimum: float) -> Score:
    return lambda p: -abs(math.log10(p["lr"] / optimum))


# Formulas, against the numbers of the notes and of tables ----------------------------------------


def test_range_points_are_those_of_the_notes() -> None:
    assert range_point(5) == pytest.approx(0.343, abs=5e-4)
    assert range_point(10) == pytest.approx(0.606, abs=5e-4)
    assert range_point(7) == pytest.approx(0.48, abs=5e-3)
    t = range_point(20)
    assert 20 * t**19 - 19 * t**20 == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("k", "d", "alpha"), [(7, 3, 0.17), (7, 5, 0.25), (7, 7, 0.33), (20, 2, 0.053), (20, 7, 0.053)]
)
def test_paddings_are_those_of_the_notes(k: int, d: int, alpha: float) -> None:
    assert padding(k, d) == pytest.approx(alpha, abs=5e-3)


def test_bounds_are_clopper_and_pearsons() -> None:
    assert upper_bound(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert upper_bound(20, 20) == 1.0
    # scipy.stats.beta.ppf(0.95, 4, 17), SciPy 1.16
    assert upper_bound(3, 20) == pytest.approx(0.3437, abs=5e-4)
    assert at_least(3, 7, 0.1) == pytest.approx(0.0257, abs=5e-5)


@pytest.mark.parametrize(
    ("n", "k"), [(30, 7), (35, 7), (36, 8), (60, 12), (99, 20), (100, 20), (1000, 20)]
)
def test_the_best_are_a_fifth_of_the_trials(n: int, k: int) -> None:
    assert Rule().k(n) == k
    assert Rule(top=5).k(n) == 5


def test_one_best_trial_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        Rule(top=1)


# Ranges ------------------------------------------------------------------------------------------


def test_an_informative_axis_is_cut_around_the_optimum_and_an_idle_one_is_kept() -> None:
    space = Space({"lr": LR, "weight_decay": WD})
    decision = decided(space, sampled(space, log_peak(1e-4)))

    lr, wd = decision.axes["lr"], decision.axes["weight_decay"]
    low, high = ends(lr.new)
    assert lr.action == "narrow"
    assert 1e-6 < low < 1e-4 < high < 1e-2
    assert high / low < 100
    assert lr.reason.startswith("the 20 best lie between ")
    assert wd.action == "keep"
    assert wd.new == WD
    assert wd.reason == "the best settings are spread over the whole range"
    assert decision.space == Space({"lr": lr.new, "weight_decay": WD})
    assert decision.changed
    assert (decision.rule, decision.trials, decision.sampler) == ("pad20", 100, "tpe")
    assert decision.warnings == ()


def test_the_cut_is_the_padded_hull() -> None:
    # The 20 best of 0.005, 0.015 … around 0.5 are 0.405 … 0.595.
    decision = one(UNIT, swept(UNIT, around(0.5)))

    pad = 0.19 * padding(20, 1)
    low, high = ends(decision.new)
    # Rounded outward to a hundredth of the width, after growing to a quarter of the box.
    assert (low, high) == (0.375, 0.625)
    assert decision.numbers["hull"] == pytest.approx([0.405, 0.595])
    assert decision.numbers["range"] == pytest.approx(0.19)
    assert decision.numbers["k"] == 20
    assert 0.19 + 2 * pad < 0.25

    # Seven best of 30, as far apart as r: the margins are what is added.
    wide = one(UNIT, swept(UNIT, around(0.55), n=30))
    low, high = ends(wide.new)
    bottom, top = wide.numbers["hull"]
    assert top - bottom == pytest.approx(6 / 30)
    margin = 0.2 * padding(7, 1)
    assert 0 <= (bottom - margin) - low < 0.001
    assert 0 <= high - (top + margin) < 0.001


def test_minimize_looks_at_the_lowest_values() -> None:
    space = Space({"lr": LR})
    trials = sampled(space, lambda p: -log_peak(1e-4)(p))
    assert decided(space, trials, direction="minimize").axes["lr"].action == "narrow"
    assert decided(space, trials).axes["lr"].action == "widen"  # the two ends are the worst


def test_an_axis_keeps_a_quarter_of_its_width() -> None:
    trials = swept(UNIT, around(0.3), n=1000)  # 20 best within 0.02
    low, high = ends(one(UNIT, trials).new)
    assert (low, high) == pytest.approx((0.175, 0.425), abs=0.003)


def test_a_log_axis_keeps_half_a_decade() -> None:
    axis = Float(1e-3, 1e-2, log=True)
    low, high = ends(one(axis, swept(axis, lambda x: -abs(math.log10(x / 3e-3)), n=1000)).new)
    assert math.log10(high / low) == pytest.approx(0.5, abs=0.02)
    assert low < 3e-3 < high


def test_what_the_floor_cannot_take_on_one_side_it_takes_on_the_other() -> None:
    # Best at 0.14, 15 of 20 off the edge: the box may not reach below 0.
    trials = swept(UNIT, around(0.12), n=1000)
    assert ends(one(UNIT, trials).new) == (0.0, pytest.approx(0.25, abs=0.003))


def test_log_edges_read_well() -> None:
    space = Space({"lr": LR})
    low, high = ends(decided(space, sampled(space, log_peak(1e-4))).space["lr"])
    for edge in (low, high):
        assert float(f"{edge:.1e}") == edge


def test_rounding_reads_well_and_leaves_out_no_value() -> None:
    for i in range(1, 100):
        assert ends(shrunk(UNIT, (i / 101, 1.0), (1.0, 1.0)))[0] <= i / 101
    decade = Float(1e-8, 1e8, log=True)
    for i in range(1, 16):  # exp and log miss some of these by a rounding
        assert ends(shrunk(decade, (i / 16, 1.0), (1e8, 1e8)))[0] == float(f"1e{i - 8}")
        assert ends(shrunk(decade, (0.0, i / 16), (1e-8, 1e-8)))[1] == float(f"1e{i - 8}")
    just_below, just_above = 0.3 - 1e-13, 0.7 + 1e-13
    cut = shrunk(UNIT, (just_below, just_above), (just_below, just_above))
    assert ends(cut) == (just_below, just_above)


def test_all_alike_says_nothing_but_what_chance_does() -> None:
    space = Space({"lr": LR, "units": Int(1, 5)})
    decisions = [decided(space, sampled(space, lambda p: 0.1, seed=seed)) for seed in range(200)]
    for name in space:
        assert sum(d.axes[name].action != "keep" for d in decisions) <= 20


def test_a_range_that_its_margin_fills_is_kept() -> None:
    axis = Float(1.0, 3.0, log=True)  # below half a decade
    decision = one(axis, swept(axis, around(1.7)))
    assert decision.action == "keep"
    assert decision.reason == "the best settings with a safe margin fill the range"


def test_top_sets_the_number_of_best() -> None:
    decision = one(UNIT, swept(UNIT, around(0.5)), rule=Rule(top=5))
    assert decision.numbers["k"] == 5
    assert decision.numbers["range"] == pytest.approx(0.04, abs=0.011)


# Edges -------------------------------------------------------------------------------------------


def test_a_monotone_axis_is_widened_by_two_decades_and_cut_below() -> None:
    decision = decided(LR, swept(LR, lambda x: x))
    lr = decision.axes["x"]
    low, high = ends(lr.new)
    assert lr.action == "widen"
    assert high == 1.0  # half of four decades
    assert 1e-4 < low < 1e-2
    assert lr.reason == "10 of 20 best lie within 10 % of the upper edge"
    assert decision.sampler == "random"
    assert decision.warnings == ()


@pytest.mark.parametrize(
    ("axis", "new_high"),
    [
        (Float(1e-9, 1e-1, log=True), 10.0),  # eight decades: two, not four
        (Float(1e-3, 1e-1, log=True), 1.0),
        (Float(0.0, 0.5), 0.75),
        (Int(1, 100), 150),
        (Int(16, 256, step=16), 384),  # 16 values: 8 more
        (Int(1, 4), 6),
        (Int(1, 2), 3),
        (Int(1, 1000, log=True), 31_654),
        (Float(0.0, 1.0, step=0.25), 1.5),  # 5 values: 2 more
        (Float(0.0, 1.1, step=0.25), 1.5),  # counted from the last value that there is
    ],
)
def test_the_upper_edge_moves_by_half_the_width(axis: Float | Int, new_high: float) -> None:
    new = one(axis, swept(axis, lambda x: x, n=1000), limits={"x": (0, 1e9)}).new
    if axis == Int(1, 1000, log=True):
        assert isinstance(new, Int)
        assert new.high == math.floor(1000.5 * math.sqrt(1000.5 / 0.5) - 0.5)
    else:
        assert ends(new)[1] == new_high


@pytest.mark.parametrize(
    ("axis", "new_low"),
    [
        (Float(1e-4, 1.0, log=True), 1e-6),
        (Float(1.0, 2.0), 0.5),
        (Int(10, 19), 5),
        (Int(64, 256, step=16), 0),  # 13 values: 6 more would be -32
        (Float(1.0, 2.0, step=0.25), 0.5),
        (Int(8, 9, log=True), 7),  # at least one
        (Int(1, 100, log=True), 1),  # whatever the limit is, a logarithm needs it
        (Int(8, 1000, log=True), 2),  # 7.5 / √(1000.5 / 7.5) = 0.65 is in the cell of 1
    ],
)
def test_the_lower_edge_moves_by_half_the_width(axis: Float | Int, new_low: float) -> None:
    new = one(axis, swept(axis, lambda x: -x, n=1000), limits={"x": (0, 1e9)}).new
    assert ends(new)[0] == new_low


def test_a_limit_stops_widening() -> None:
    trials = swept(LR, lambda x: x)
    assert ends(one(LR, trials, limits={"x": (1e-8, 0.05)}).new)[1] == 0.05
    steps = Int(16, 256, step=16)
    stepped = swept(steps, lambda x: x)
    assert ends(one(steps, stepped, limits={"x": (0, 300)}).new)[1] == 288


@pytest.mark.parametrize("limits", [{"x": (1e-8, 1e-2)}, {"x": (1e-5, 1e-3)}, {}])
def test_a_leaning_side_that_may_not_grow_is_not_cut_either(limits: dict[str, Any]) -> None:
    decision = decided(LR, swept(LR, lambda x: x), limits=limits)
    x = decision.axes["x"]
    assert x.action == "narrow"  # the other side
    assert ends(x.new)[1] == 1e-2
    assert ends(x.new)[0] > 1e-4
    assert x.reason == "10 of 20 best lie within 10 % of the upper edge, but its limit is reached"
    assert decision.warnings == (
        "x leans on its upper edge 1e-02, but its limit is reached. "
        "Set a range by hand with --range x=LOW:HIGH.",
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_a_leaning_side_is_not_cut_where_no_trial_lies(sign: int) -> None:
    values = [0.5 + 0.46 * (2 * i / 99 - 1) for i in range(100)]  # 0.04 … 0.96
    trials = [trial(i, {"x": v}, sign * v) for i, v in enumerate(values)]
    new = one(UNIT, trials, rule=Rule(widen=False)).new
    assert (ends(new)[1] if sign > 0 else ends(new)[0]) == max(sign, 0)


def test_widening_can_be_switched_off() -> None:
    decision = decided(LR, swept(LR, lambda x: x), rule=Rule(widen=False))
    assert ends(decision.axes["x"].new)[1] == 1e-2
    assert "but widening is switched off" in decision.axes["x"].reason
    assert len(decision.warnings) == 1
    assert decision.sampler == "tpe"


def test_both_edges_can_lean() -> None:
    new = one(UNIT, swept(UNIT, lambda x: abs(x - 0.5)), limits={"x": (-9, 9)}).new
    assert ends(new) == (-0.5, 1.5)


def test_a_value_that_is_a_third_of_the_box_is_not_an_edge() -> None:
    # A third of the best at one of three values is what chance gives.
    space = Space({"x": Int(1, 3)})
    for seed in range(20):
        trials = sampled(space, lambda p: 0.1, seed=seed)
        assert leaning(space, trials, "maximize") == []
        assert leaning(space, sampled(space, lambda p: p["x"], seed=seed), "maximize") == [
            ("x", "upper")
        ]


def test_the_edge_is_as_wide_as_a_tenth_of_the_trials() -> None:
    # Thinned out at the edge: 4 of the best 7 lie within 14 %, not one within 10 %.
    values = [0.8, 0.82, 0.84, 0.86, 0.87, 0.88, 0.89, *(i / 40 for i in range(28))]
    trials = [trial(i, {"x": v}, v) for i, v in enumerate(values)]
    assert one(UNIT, trials).reason == "4 of 7 best lie within 14 % of the upper edge"
    # But not wider than a fifth of the axis.
    trials = [trial(t.number, {"x": 0.85 * t.params["x"]}, t.value) for t in trials]
    assert leaning(Space({"x": UNIT}), trials, "maximize") == []


def test_leaning_and_its_sentence() -> None:
    space = Space({"lr": LR, "weight_decay": WD, "kind": Choice(("a", "b"))})
    trials = sampled(space, lambda p: p["lr"])
    assert leaning(space, trials, "maximize") == [("lr", "upper")]
    assert leaning(space, trials, "minimize") == [("lr", "lower")]
    assert leaning(space, trials[:29], "maximize") == []
    assert edge_warnings(space, trials, "maximize") == [
        "lr leans on its upper edge 1e-02: the optimum is probably outside."
    ]


# Cliffs ------------------------------------------------------------------------------------------


def test_a_cliff_is_the_end_and_is_not_widened() -> None:
    # Rises until it breaks at 0.9: what leans on that side leans on the cliff.
    decision = one(UNIT, swept(UNIT, lambda x: x if x < 0.9 else math.nan))
    low, high = ends(decision.new)
    assert decision.action == "narrow"
    assert 0.9 <= high < 0.92
    assert low > 0.5
    assert decision.reason == "the 20 best lie between 0.705 and 0.895, training diverges above"
    assert decision.numbers["cliff"] == {"upper": pytest.approx(0.905)}
    trials = swept(UNIT, lambda x: x if x < 0.99 else math.nan)
    assert leaning(Space({"x": UNIT}), trials, "maximize") == []


def test_the_box_reaches_to_a_cliff_beyond_the_best() -> None:
    score = around(0.4)
    decision = one(UNIT, swept(UNIT, lambda x: score(x) if x < 0.7 else math.nan))
    low, high = ends(decision.new)
    assert 0.7 <= high < 0.71
    assert 0.25 < low < 0.305


def test_a_cliff_below() -> None:
    decision = one(UNIT, swept(UNIT, lambda x: -x if x > 0.1 else math.nan))
    assert 0.08 < ends(decision.new)[0] <= 0.1
    assert decision.reason.endswith("training diverges below")


def test_divergence_on_both_sides_is_no_cliff() -> None:
    score = around(0.5)
    broken = (0.205, 0.805)

    def twice(x: float) -> float:
        return math.nan if round(x, 3) in broken else score(x)

    decision = one(UNIT, swept(UNIT, twice))
    assert decision.numbers["cliff"] == {}
    assert ends(decision.new) == (0.375, 0.625)


def test_divergence_on_both_sides_forbids_no_widening() -> None:
    broken = (0.205, 0.995)
    trials = swept(UNIT, lambda x: math.nan if round(x, 3) in broken else x)
    assert one(UNIT, trials).action == "widen"
    trials = swept(UNIT, lambda x: math.nan if round(x, 3) == broken[1] else x)
    assert one(UNIT, trials).action == "narrow"


def test_a_diverged_trial_is_never_among_the_best() -> None:
    trials = [
        trial(t.number, t.params, 9.0, diverged_at=1) if t.number < 10 else t
        for t in swept(UNIT, lambda x: x)
    ]
    decision = decided(UNIT, trials)
    assert decision.elites[0] == (1, 99)
    assert all(number >= 80 for _, number in decision.elites)


def test_when_everything_diverged_all_is_kept() -> None:
    decision = decided(UNIT, swept(UNIT, lambda x: math.nan))
    assert not decision.changed
    assert decision.axes["x"].reason == "100 of 100 trials diverged"
    assert decision.elites == ()


# Whole numbers and steps -------------------------------------------------------------------------


def test_whole_numbers_are_cut_to_whole_numbers() -> None:
    axis = Int(1, 20)
    new = one(axis, swept(axis, around(9))).new  # 5 of each value, best: 7 … 10
    assert new == Int(6, 11)
    assert all(isinstance(end, int) for end in ends(new))


def test_log_whole_numbers() -> None:
    axis = Int(8, 1024, log=True)
    low, high = ends(one(axis, swept(axis, lambda x: -abs(math.log(x / 64)))).new)
    assert 8 < low < 64 < high < 1024
    assert isinstance(low, int)


@pytest.mark.parametrize(
    "axis",
    [
        Int(16, 512, step=16),
        Int(10, 200, step=7),
        Float(0.0, 0.9, step=0.05),
        Float(1e-14, 2e-13, step=1e-14),
    ],
)
def test_steps_stay_on_their_lattice(axis: Int | Float) -> None:
    middle = axis.values()[len(axis.values()) // 2]
    new = one(axis, swept(axis, around(middle))).new
    low, high = ends(new)
    assert axis.low < low < middle < high < axis.high
    assert low in axis.values()
    assert high in axis.values()
    assert isinstance(new, Int | Float)
    assert new.step == axis.step


def test_an_end_off_the_lattice_is_left_alone() -> None:
    axis = Float(0.0, 1.0, step=0.3)
    new = one(axis, swept(axis, around(0.9)), rule=Rule(widen=False)).new
    assert ends(new)[1] == 1.0


@pytest.mark.parametrize(
    "axis",
    [
        Int(1, 9),
        Int(3, 40, log=True),
        Int(16, 256, step=16),
        Int(0, 10, step=3),
        Float(0.0, 1.0, step=0.1),
        Float(0.1, 1.0, step=0.4),
    ],
)
def test_a_cell_is_what_is_drawn_as_its_value(axis: Int | Float) -> None:
    cells = [cell(axis, value) for value in axis.values()]
    assert cells[0][0] == pytest.approx(0)
    assert cells[-1][1] == pytest.approx(1)
    for value, (low, high) in zip(axis.values(), cells, strict=True):
        assert axis.from_unit((low + high) / 2) == value
        assert axis.from_unit(low + 1e-6) == value
        assert axis.from_unit(high - 1e-6) == value
        kept = shrunk(axis, (low + 1e-6, high - 1e-6), (value, value))
        assert ends(kept)[0] == value
        assert ends(kept)[1] in (value, axis.high)


# Choices and conditions --------------------------------------------------------------------------


def test_a_choice_that_is_missing_among_the_best_is_dropped() -> None:
    space = Space({"optimizer": Choice(("sgd", "adam", "momentum")), "lr": LR})
    worth = {"sgd": 0.0, "adam": 9.0, "momentum": 9.0}
    trials = sampled(space, lambda p: worth[p["optimizer"]] + log_peak(1e-4)(p), n=200)
    decision = decided(space, trials)
    assert decision.space["optimizer"] == Choice(("adam", "momentum"))
    assert decision.axes["optimizer"].action == "narrow"
    assert decision.axes["optimizer"].reason == "of 20 best 0 have 'sgd'"
    assert decision.axes["optimizer"].to_json()["new"] == ["adam", "momentum"]


def test_choices_without_influence_are_kept() -> None:
    space = Space({"optimizer": Choice(("sgd", "adam", "momentum")), "lr": LR})
    decision = decided(space, sampled(space, log_peak(1e-4)))
    assert decision.axes["optimizer"].action == "keep"
    assert decision.axes["optimizer"].reason == "no choice is clearly worse"


def test_too_rare_a_choice_cannot_be_judged() -> None:
    values = ["a"] * 90 + ["b"] * 10  # a tenth of the trials: none of 20 best is no wonder
    trials = [trial(i, {"x": v}, float(v == "a")) for i, v in enumerate(values)]
    assert one(Choice(("a", "b")), trials).action == "keep"


def test_the_best_trials_choice_stays() -> None:
    values = ["a"] * 50 + ["b"] * 50
    trials = [trial(i, {"x": v}, float(v == "b")) for i, v in enumerate(values)]
    assert one(Choice(("a", "b")), trials).new == Choice(("b",))
    trials[0] = trial(0, {"x": "a"}, 2.0)
    assert one(Choice(("a", "b")), trials).action == "keep"


def test_a_choice_is_dropped_below_half_of_its_share() -> None:
    values = ["a", "b"] * 50
    for found, action in ((3, "keep"), (1, "narrow")):  # of 20 best: at most 0.34 or 0.22
        best = {*range(0, 2 * found, 2), *range(1, 2 * (20 - found), 2)}
        trials = [
            trial(i, {"x": v}, float(i in best) + 0.1 * (v == "b")) for i, v in enumerate(values)
        ]
        assert one(Choice(("a", "b")), trials).action == action


def test_true_is_not_one() -> None:
    values = [True, 1, False] * 40
    trials = [trial(i, {"x": v}, float(v is True)) for i, v in enumerate(values)]
    new = one(Choice((True, 1, False)), trials).new
    assert isinstance(new, Choice)
    assert [repr(v) for v in new.choices] == ["True"]


NESTED = Space(
    {
        "nesterov": Choice((True, False), when={"optimizer": ("momentum",)}),
        "optimizer": Choice(("sgd", "adam", "momentum")),
        "lr": LR,
        "beta": Float(0.8, 1.0, when={"optimizer": ("adam", "momentum")}),
        "damping": Float(0.0, 1.0, when={"nesterov": (True,)}),
    }
)


def test_a_dropped_choice_takes_along_what_depends_on_it_alone() -> None:
    worth = {"sgd": 9.0, "adam": 9.0, "momentum": 0.0}
    trials = sampled(NESTED, lambda p: worth[p["optimizer"]] + log_peak(1e-4)(p), n=300)
    decision = decided(NESTED, trials)

    assert list(decision.space) == ["optimizer", "lr", "beta"]
    assert decision.space["optimizer"] == Choice(("sgd", "adam"))
    assert decision.space["beta"].when == {"optimizer": ("adam",)}
    assert list(decision.axes) == list(NESTED)
    gone = decision.axes["nesterov"]
    assert (gone.action, gone.new) == ("narrow", None)
    assert gone.reason == "it needs a choice of optimizer that was dropped"
    assert gone.to_json()["new"] is None
    assert decision.axes["damping"].reason == "it needs a choice of nesterov that was dropped"
    inside = [t for t in trials if decision.space.contains(t.params)]
    assert {t.params["optimizer"] for t in inside} == {"sgd", "adam"}


def test_a_range_by_hand_keeps_the_choice_that_it_needs() -> None:
    worth = {"sgd": 9.0, "adam": 9.0, "momentum": 0.0}
    momentum = Float(0.5, 1.0, when={"optimizer": ("momentum",)})
    space = Space({"optimizer": NESTED["optimizer"], "momentum": momentum})
    trials = sampled(space, lambda p: worth[p["optimizer"]], n=200)
    assert list(decided(space, trials).space) == ["optimizer"]
    kept = decided(space, trials, ranges={"momentum": (0.8, 0.95)})
    assert kept.space["optimizer"] == NESTED["optimizer"]
    assert ends(kept.space["momentum"]) == (0.8, 0.95)
    assert kept.space["momentum"].when == {"optimizer": ("momentum",)}


def test_a_conditional_range_is_judged_by_the_trials_that_have_it() -> None:
    space = Space({"kind": Choice(("a", "b")), "x": Float(0.0, 1.0, when={"kind": ("a",)})})

    def score(p: Mapping[str, Any]) -> float:
        return around(0.5)(p["x"]) if "x" in p else -0.2

    decision = decided(space, sampled(space, score, n=200))
    new = decision.space["x"]
    assert decision.axes["x"].action == "narrow"
    assert decision.axes["x"].numbers["n"] < 130
    assert new.contains(0.5)
    assert new.when == {"kind": ("a",)}
    few = decided(space, sampled(space, score, n=40)).axes["x"]
    assert few.action == "keep"
    assert few.reason.endswith("trials have it, 30 are needed")


# Which trials count ------------------------------------------------------------------------------


@pytest.mark.parametrize(("axes", "needed"), [(1, 30), (3, 30), (4, 40), (7, 70)])
def test_too_few_trials_are_refused_with_the_numbers(axes: int, needed: int) -> None:
    space = Space({f"x{i}": UNIT for i in range(axes)} | {"kind": Choice(("a", "b"))})
    trials = sampled(space, lambda p: p["x0"], n=needed)
    decided(space, trials)
    with pytest.raises(NotEnoughTrials) as error:
        decided(space, trials[1:])
    assert (error.value.given, error.value.needed) == (needed - 1, needed)
    assert error.value.parameters == axes


def test_a_space_of_choices_counts_its_axes() -> None:
    space = Space({f"c{i}": Choice(("a", "b")) for i in range(5)})
    with pytest.raises(NotEnoughTrials) as error:
        decided(space, sampled(space, lambda p: 0.0, n=49))
    assert (error.value.needed, error.value.parameters) == (50, 5)


def test_only_trials_with_a_value_inside_the_space_are_used() -> None:
    trials = swept(UNIT, around(0.5))
    noise = [
        trial(200, {"x": 1.5}, 99.0),
        trial(201, {"y": 0.9}, 99.0),
        trial(202, {"x": 0.9}, None, state=TrialState.FAIL),
        trial(203, {"x": 0.9}, None, state=TrialState.RUNNING),
        trial(204, {"x": 0.9}, 99.0, state=TrialState.FAIL),
        trial(205, {"x": 0.9}, None, state=TrialState.PRUNED),
        trial(206, {"x": 0.9}, math.nan),
        trial(207, {"x": 0.9}, math.inf),
    ]
    assert decided(UNIT, noise + trials) == decided(UNIT, trials)


def test_pruned_trials_are_evidence_but_come_after_the_finished_ones() -> None:
    trials = [
        trial(t.number, t.params, 50.0, state=TrialState.PRUNED) if t.number >= 70 else t
        for t in swept(UNIT, lambda x: x)
    ]
    decision = decided(UNIT, trials)
    assert decision.trials == 100
    assert [number for _, number in decision.elites] == list(range(69, 49, -1))
    few = decided(UNIT, trials[65:])  # five of the seven best have finished
    assert [number for _, number in few.elites] == [69, 68, 67, 66, 65, 70, 71]


def test_equals_are_ranked_by_age() -> None:
    trials = swept(UNIT, lambda x: 0.5)
    assert [number for _, number in decided(UNIT, trials[::-1]).elites] == list(range(20))


# Replicates --------------------------------------------------------------------------------------


def replicated(trials: list[Trial], replicates: int, spread: float = 0.0) -> list[Trial]:
    """The same settings, each with replicates around its value."""
    return [
        replace(
            t,
            number=replicates * t.number + i,
            value=t.value and t.value + spread * (i - (replicates - 1) / 2),
        )
        for t in trials
        for i in range(replicates)
    ]


@pytest.mark.parametrize("replicates", [2, 3, 10])
def test_replicates_decide_as_their_settings_do(replicates: int) -> None:
    space = Space({"lr": LR, "kind": Choice(("a", "b"))})
    trials = sampled(space, lambda p: math.nan if p["lr"] < 1e-5 else p["lr"], n=60)
    single = decided(space, trials)
    rows = replicated(trials, replicates, 0.01)
    decision = decided(space, rows[::-1], replicates=replicates)
    assert decision.space == single.space
    assert decision.trials == 60
    # A setting goes by the number of its first replicate.
    assert decision.elites == tuple((s, replicates * n) for s, n in single.elites)
    assert leaning(space, rows, "maximize", replicates=replicates) == [("lr", "upper")]
    assert len(edge_warnings(space, rows, "maximize", replicates=replicates)) == 1


def test_needed_and_usable_count_settings() -> None:
    mixed = Space({"x": UNIT, "kind": Choice(("a", "b"))})
    assert (parameters(mixed), needed(mixed)) == (1, 30)
    assert parameters(Space({"kind": Choice(("a", "b")), "other": Choice((1, 2))})) == 2
    assert needed(Space({f"x{i}": UNIT for i in range(4)})) == 40
    space = Space({"x": UNIT})
    rows = replicated(swept(UNIT, lambda x: x, n=29), 3)
    failed = Trial(1, 87, TrialState.FAIL, {"x": 0.5}, None)
    outside = trial(90, {"x": 1.5}, 0.5)
    assert usable(space, [*rows, failed, outside], "maximize", replicates=3) == 29
    with pytest.raises(NotEnoughTrials) as raised:
        decided(space, rows, replicates=3)
    assert (raised.value.given, raised.value.needed) == (29, 30)
    assert leaning(space, rows, "maximize", replicates=3) == []
    by_hand = {"y": (0.2, 0.8)}
    both = Space({"x": UNIT, "y": UNIT})
    decision = decided(both, [], ranges=by_hand, replicates=3)
    assert decision.axes["x"].reason == "0 settings are too few to decide, 30 are needed"


def test_the_trials_of_an_ancestor_are_other_settings() -> None:
    older = replicated(swept(UNIT, lambda x: x, n=20), 2)
    newer = [replace(t, stage=2) for t in replicated(swept(UNIT, lambda x: x, n=15), 2)]
    assert usable(Space({"x": UNIT}), newer + older, "maximize", replicates=2) == 35


def test_a_setting_has_diverged_if_half_of_its_replicates_have() -> None:
    def setting(*diverged: bool) -> Trial:
        rows = [
            trial(i, {"x": 0.5}, 0.1 if lost else 0.9, diverged_at=7 if lost else None)
            for i, lost in enumerate(diverged)
        ]
        (found,) = merged(rows, len(rows))
        return found

    assert not setting(False, False, False).diverged
    once = setting(True, False, False)
    assert (once.number, once.diverged_at) == (1, None)
    assert once.value == pytest.approx((0.1 + 0.9 + 0.9) / 3)
    half = setting(False, True)
    assert (half.number, half.diverged_at) == (1, 7)
    assert setting(True, True, False).diverged


@pytest.mark.parametrize(("luck", "noise"), [(0.04, 0.03), (0.0, 0.04)], ids=["settings", "seeds"])
def test_replicates_on_flat_ground_change_nothing(luck: float, noise: float) -> None:
    """One by one, lucky settings' replicates pass for a crowd: 29 % and 10 % of these change."""
    changed = 0
    for seed in range(300):
        rng = random.Random(1000 + seed)
        settings = [trial(i, {"x": rng.random()}, 0.5 + rng.gauss(0, luck)) for i in range(60)]
        trials = [
            replace(t, value=(t.value or 0.0) + rng.gauss(0, noise))
            for t in replicated(settings, 5)
        ]
        changed += decided(UNIT, trials, replicates=5).changed
    assert changed <= 0.08 * 300


# Bayesian stages and ranges by hand --------------------------------------------------------------


def test_a_bayesian_stage_changes_nothing_and_says_why() -> None:
    decision = decided(LR, swept(LR, lambda x: x), uniform=False)
    assert not decision.changed
    assert "Bayesian" in decision.axes["x"].reason
    assert "--sampler random" in decision.warnings[0]
    assert "--range" in decision.warnings[0]
    assert decision.warnings[1].startswith("x leans on its upper edge 1e-02")
    # More trials would not help: no refusal.
    assert not decided(LR, swept(LR, lambda x: x, n=3), uniform=False).changed


def test_ranges_by_hand_take_the_place_of_the_rule() -> None:
    space = Space({"lr": LR, "weight_decay": WD, "units": Int(1, 100)})
    trials = sampled(space, log_peak(1e-4))
    by_hand = {"lr": (1e-3, 1.0), "weight_decay": (1e-6, 1e-5), "units": (1.0, 100.0)}
    decision = decided(space, trials, ranges=by_hand)
    assert [a.action for a in decision.axes.values()] == ["widen", "narrow", "keep"]
    assert {a.reason for a in decision.axes.values()} == {"set by hand"}
    assert decision.space["lr"] == Float(1e-3, 1.0, log=True)
    assert decision.space["units"] == Int(1, 100)
    assert decision.sampler == "random"
    assert decision.warnings[0].startswith("The range of lr leaves out the best setting so far, ")
    bayesian = decided(space, trials, ranges=by_hand, uniform=False)
    assert bayesian.space == decision.space


def test_ranges_by_hand_need_no_evidence() -> None:
    space = Space({"lr": LR, "weight_decay": WD})
    decision = decided(space, [], ranges={"lr": (1e-3, 1e-1)})
    assert decision.space["lr"] == Float(1e-3, 1e-1, log=True)
    assert decision.axes["weight_decay"].action == "keep"
    assert decision.axes["weight_decay"].reason == "0 trials are too few to decide, 30 are needed"


@pytest.mark.parametrize(
    ("name", "range_", "message"),
    [
        ("lr", (0.1, 0.01), r"--range lr=0\.1:0\.01: low \(0\.1\) is not below high"),
        ("lr", (0.1, 0.1), "is not below"),
        ("lr", (0, 0.1), "above 0 on a log axis"),
        ("lr", (1e-3, math.inf), "finite"),
        ("lr", (math.nan, 1.0), "finite"),
        ("units", (1.5, 3), "whole numbers"),
        ("stepped", (1, 2), "step"),
        ("kind", (0, 1), "has choices, not a range; parameters with a range are lr, units"),
        ("typo", (0, 1), "'typo' is not a parameter; parameters with a range are lr, units"),
    ],
)
def test_impossible_ranges_are_refused(
    name: str, range_: tuple[float, float], message: str
) -> None:
    space = Space(
        {"lr": LR, "units": Int(1, 9), "stepped": Int(0, 64, step=16), "kind": Choice(("a",))}
    )
    with pytest.raises(DefinitionError, match=message):
        decided(space, [], ranges={name: range_})


# Limits, words, JSON -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "limits"),
    [
        (LR, (1e-8, 1.0)),
        (Float(0.0, 0.5), (0.0, 1.0)),
        (Float(-1.0, 1.0), (-3.0, 3.0)),
        (Float(0.3, 0.5), (0.1, 0.7)),
        (Int(1, 5), (1, 9)),
        (Int(0, 5), (0, 10)),
        (Int(-2, 2), (-6, 6)),
        (Int(8, 512, log=True), (1, 51200)),
    ],
)
def test_default_limits(axis: Axis, limits: tuple[float, float]) -> None:
    space = Space({"x": axis, "kind": Choice(("a", "b"))})
    assert default_limits(space) == {"x": pytest.approx(limits)}


@pytest.mark.parametrize(
    ("axis", "value", "written"),
    [
        (LR, 1e-2, "1e-02"),
        (LR, 2.5e-3, "2.5e-03"),
        (LR, 1.0, "1e+00"),
        (UNIT, 0.3, "0.3"),
        (Int(1, 9), 4, "4"),
        (Int(1, 9_000_000), 1_234_567, "1234567"),
    ],
)
def test_values_are_written_as_on_the_screens(
    axis: Float | Int, value: float, written: str
) -> None:
    assert text(axis, value) == written


def test_the_evidence_survives_json() -> None:
    space = Space({"lr": LR, "weight_decay": WD})
    decision = decided(space, sampled(space, log_peak(1e-4)))
    stored = json.loads(json.dumps(decision.to_json(), allow_nan=False))
    assert stored == decision.to_json()
    assert set(stored) == {"rule", "trials", "elites", "sampler", "axes", "warnings"}
    assert set(stored["axes"]["lr"]) == {"action", "old", "new", "reason", "numbers"}
    assert stored["axes"]["lr"]["old"] == [1e-6, 1e-2]
    assert len(stored["elites"]) == 20


# Promises on any evidence ------------------------------------------------------------------------


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    kind = draw(st.sampled_from(["float", "log", "step", "int", "intlog", "intstep", "choice"]))
    if kind == "choice":
        return Choice(tuple("abcd"[: draw(st.integers(1, 4))]))
    low = draw(st.floats(-1e3, 1e3))
    width = draw(st.floats(1e-4, 1e3))
    start, count = draw(st.integers(-20, 20)), draw(st.integers(1, 60))
    step = draw(st.integers(1, 9))
    positive = 10.0 ** draw(st.floats(-9, 2))
    made: dict[str, Axis] = {
        "float": Float(low, low + width),
        "log": Float(positive, positive * 10 ** draw(st.floats(0.05, 9)), log=True),
        "step": Float(start / 8, start / 8 + (count + 0.4) * step / 8, step=step / 8),
        "int": Int(start, start + count),
        "intlog": Int(abs(start) + 1, abs(start) + 1 + count * step, log=True),
        "intstep": Int(start, start + count * step + step // 2, step=step),
    }
    return made[kind]


@st.composite
def stages(draw: st.DrawFn) -> tuple[Space, list[Trial], dict[str, Any]]:
    space = Space({f"x{i}": draw(axes()) for i in range(draw(st.integers(1, 3)))})
    rng = random.Random(draw(st.integers(0, 10**6)))
    centre = [rng.uniform(-0.2, 1.2) for _ in space]
    sharpness, break_at = draw(st.floats(0, 3)), draw(st.sampled_from([0.3, 0.7, 0.95, 2.0]))
    trials = []
    for number in range(draw(st.integers(30, 60))):
        u = [rng.random() ** draw(st.sampled_from([1, 1, 1, 8])) for _ in space]
        value = -sharpness * sum(abs(a - b) for a, b in zip(u, centre, strict=True))
        value = round(value + rng.gauss(0, 0.1), 1)  # ties
        diverged = 1 if u[0] > break_at else None
        state = TrialState.PRUNED if rng.random() < 0.1 else TrialState.COMPLETE
        trials.append(trial(number, space.from_unit(u), value, state=state, diverged_at=diverged))
    more = {
        "direction": draw(st.sampled_from(["maximize", "minimize"])),
        "limits": draw(st.sampled_from([default_limits(space), {}])),
        "uniform": True,
        "rule": Rule(top=draw(st.sampled_from([None, None, 2, 5, 50])), widen=draw(st.booleans())),
    }
    return space, trials, more


@settings(deadline=None, max_examples=250)
@given(stages())
def test_new_ranges_are_legal_and_hold_the_best(
    stage: tuple[Space, list[Trial], dict[str, Any]],
) -> None:
    space, trials, more = stage
    before = copy.deepcopy((space, trials, more))
    decision = decide(space, trials, **more)

    assert (space, trials, more) == before
    assert decide(space, trials, **more) == decision
    json.dumps(decision.to_json(), allow_nan=False)
    by_number = {(t.stage, t.number): t for t in trials}
    best = [by_number[elite] for elite in decision.elites]
    assert not any(t.diverged for t in best)
    for name, axis in space.axes.items():
        new = decision.space[name]
        assert type(new) is type(axis)
        if best:
            assert new.contains(best[0].params[name])
        if isinstance(axis, Choice):
            assert isinstance(new, Choice)
            assert new.choices
            assert set(new.choices) <= set(axis.choices)
            continue
        assert isinstance(new, Float | Int)
        for t in best:
            assert new.contains(t.params[name])
        assert new.low < new.high
        low, high = more["limits"].get(name, (axis.low, axis.high))
        assert min(low, axis.low) <= new.low
        assert new.high <= max(high, axis.high)
        assert (new.log, new.step, new.when) == (axis.log, axis.step, axis.when)
        if axis.step is not None:
            steps = (new.low - axis.low) / axis.step
            assert steps == pytest.approx(round(steps))
        grew = new.low < axis.low or new.high > axis.high
        assert decision.axes[name].action == (
            "widen" if grew else "keep" if new == axis else "narrow"
        )
        if grew:
            assert more["rule"].widen
            assert decision.sampler == "random"


# What it is worth, simulated ---------------------------------------------------------------------


def simulated(score: Score, seed: int, noise: float = 0.04) -> Decision:
    space = Space({"x": UNIT, "y": UNIT})
    rng = random.Random(seed)
    return decided(space, sampled(space, lambda p: score(p) + rng.gauss(0, noise), seed=seed))


def test_a_noisy_bowl_is_cut_and_its_optimum_kept() -> None:
    lost, logs = 0, []
    for seed in range(200):
        rng = random.Random(1000 + seed)
        a, b = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8)

        def bowl(p: Mapping[str, Any], a: float = a, b: float = b) -> float:
            return 0.9 - 1.2 * ((p["x"] - a) ** 2 + (p["y"] - b) ** 2)

        new = simulated(bowl, seed).space
        lost += not (new["x"].contains(a) and new["y"].contains(b))
        logs += [math.log(high - low) for low, high in (ends(new["x"]), ends(new["y"]))]
    assert lost <= 4
    assert math.exp(sum(logs) / len(logs)) < 0.75


def test_a_noisy_slope_is_widened_and_an_idle_axis_hardly_ever_touched() -> None:
    decisions = [simulated(lambda p: 0.1 + 0.8 * p["x"], seed).axes for seed in range(200)]
    assert sum(axes["x"].action == "widen" for axes in decisions) >= 180
    assert sum(axes["y"].action == "keep" for axes in decisions) >= 180
