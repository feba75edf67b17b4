"""The posterior's rule: each branch on a stage made for it."""

import math
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_trials import (
    LR,
    UNIT,
    WD,
    around,
    decided,
    ends,
    log_peak,
    noisy,
    one,
    sampled,
    swept,
    trial,
)

from hpo.narrowing import Rule
from hpo.space import Float, Int, Space
from hpo.trial import Trial

XY = Space({"x": UNIT, "y": UNIT})
FAR = {"x": (-9.0, 9.0), "y": (-9.0, 9.0)}


def hill(p: Mapping[str, Any]) -> float:
    return 0.9 - 2 * float((p["x"] - 0.6) ** 2)


# Ranges ------------------------------------------------------------------------------------------


def test_an_informative_axis_is_cut_around_the_optimum_and_an_idle_one_is_kept() -> None:
    space = Space({"lr": LR, "weight_decay": WD})
    score = noisy(lambda p: 0.9 - math.log10(p["lr"] / 1e-4) ** 2 / 9, 0.02)
    decision = decided(space, sampled(space, score), noise=0.02)

    lr, wd = decision.axes["lr"], decision.axes["weight_decay"]
    low, high = ends(lr.new)
    assert lr.action == "narrow"
    assert 1e-6 < low < 1e-4 < high < 1e-2
    assert high / low < 100
    assert lr.reason.startswith("the optimum lies between ")
    assert 0.2 < lr.numbers["kept"] < 0.5
    assert low <= lr.numbers["hull"][0] < 1e-4 < lr.numbers["hull"][1] <= high
    assert wd.action == "keep"
    assert wd.new == WD
    assert wd.reason == "the optimum may lie anywhere in the range"
    assert decision.space == Space({"lr": lr.new, "weight_decay": WD})
    assert decision.changed
    assert (decision.rule, decision.trials, decision.sampler) == ("posterior", 100, "tpe")
    assert decision.warnings == ()


def test_noise_keeps_more() -> None:
    trials = sampled(XY, noisy(hill, 0.02))
    widths = []
    for noise in (0.02, 0.1):
        low, high = ends(decided(XY, trials, noise=noise).space["x"])
        widths.append(high - low)
    assert widths[0] < widths[1]


def test_lower_is_better() -> None:
    trials = [replace(t, value=-(t.value or 0.0)) for t in sampled(XY, noisy(hill, 0.02))]
    low, high = ends(decided(XY, trials, direction="minimize", noise=0.02).space["x"])
    assert 0.2 < low < 0.6 < high < 0.9


def test_an_axis_keeps_a_quarter_of_its_width() -> None:
    low, high = ends(one(UNIT, swept(UNIT, around(0.3)), noise=0.0).new)
    assert high - low == pytest.approx(0.25, abs=0.02)
    assert low < 0.3 < high
    # What does not fit on one side it takes on the other.
    assert ends(one(UNIT, swept(UNIT, around(0.1)), noise=0.0).new) == (
        0.0,
        pytest.approx(0.25, abs=0.01),
    )


def test_a_log_axis_keeps_half_a_decade() -> None:
    axis = Float(1e-3, 1e-2, log=True)
    trials = swept(axis, lambda x: -abs(math.log10(x / 3e-3)))
    low, high = ends(one(axis, trials, noise=0.0).new)
    assert math.log10(high / low) == pytest.approx(0.5, abs=0.05)
    assert low < 3e-3 < high


def test_the_best_and_the_confirmed_settings_stay_inside() -> None:
    trials = swept(UNIT, around(0.3))
    trials[90] = replace(trials[90], value=1.0)  # luck
    new = one(UNIT, trials, noise=0.2).new
    assert new is not None
    assert new.contains(trials[90].params["x"])
    plain = swept(UNIT, around(0.3))
    assert ends(one(UNIT, plain).new)[1] < 0.6
    kept = one(
        UNIT, plain, keep=[trial(200, p, 0.5) for p in ({"x": 0.71}, {"x": 3.0}, {"other": 0.9})]
    ).new
    assert 0.71 <= ends(kept)[1] < 0.75


def test_a_cut_of_less_than_a_tenth_is_none() -> None:
    decision = one(UNIT, swept(UNIT, lambda x: float(x > 0.15)), noise=0.05)
    assert 0.1 < decision.numbers["hull"][0] < 0.2
    assert decision.action == "keep"


def test_trials_that_a_bayesian_sampler_crowded_are_evidence_too() -> None:
    rng = random.Random(0)
    crowd = [rng.gauss(0.5, 0.05) for _ in range(80)] + [rng.random() for _ in range(20)]
    trials = [
        trial(i, {"x": x, "y": rng.random()}, 0.9 - 2 * (x - 0.6) ** 2 + rng.gauss(0, 0.02))
        for i, x in enumerate(crowd)
    ]
    space = decided(XY, trials, noise=0.02).space
    low, high = ends(space["x"])
    assert low < 0.6 < high
    assert high - low < 0.8


def test_a_crowd_does_not_make_the_rest_look_alike() -> None:
    rng = random.Random(0)
    space = Space({name: UNIT for name in "abc"})
    trials = []
    for number in range(100):
        u = [rng.random() if number < 15 else rng.gauss(0.6, 0.07) for _ in space]
        value = 0.9 - sum((x - 0.6) ** 2 for x in u)
        trials.append(trial(number, space.from_unit([min(max(x, 0), 1) for x in u]), value))
    for axis in decided(space, trials, noise=0.002).space.axes.values():
        low, high = ends(axis)
        assert low < 0.6 < high
        assert high - low < 0.5


def test_the_same_state_decides_the_same_and_order_does_not_matter() -> None:
    trials = sampled(XY, noisy(hill, 0.04), n=40)
    shuffled = random.Random(1).sample(trials, len(trials))
    first = decided(XY, trials, noise=0.04)
    assert decided(XY, shuffled, noise=0.04) == first
    other = decided(XY, trials, noise=0.04, rng=np.random.default_rng(1))
    assert other.axes["x"].numbers != first.axes["x"].numbers


def test_replicates_make_the_evidence_stronger() -> None:
    rng = random.Random(0)
    settings = sampled(XY, hill, n=40)
    trials = [
        replace(t, number=9 * t.number + i, value=(t.value or 0.0) + rng.gauss(0, 0.15))
        for t in settings
        for i in range(9)
    ]
    several = decided(XY, trials, noise=0.15, replicates=9)
    single = decided(XY, [t for t in trials if t.number % 9 == 0], noise=0.15)
    assert several.axes["x"].numbers["kept"] < single.axes["x"].numbers.get("kept", 1.0)


# Edges -------------------------------------------------------------------------------------------


def test_a_monotone_axis_is_widened_by_two_decades_and_cut_below() -> None:
    decision = decided(LR, swept(LR, lambda x: math.log10(x)))
    lr = decision.axes["x"]
    low, high = ends(lr.new)
    assert lr.action == "widen"
    assert high == 1.0  # half of four decades
    assert 1e-4 < low < 1e-2
    assert lr.reason == "with a probability of 100 % the optimum lies at the upper edge"
    assert decision.sampler == "tpe"  # it follows the slope
    assert decision.warnings == ()


@pytest.mark.parametrize("limits", [{"x": (1e-8, 1e-2)}, {"x": (1e-5, 1e-3)}, {}])
def test_a_leaning_side_that_may_not_grow_is_not_cut_either(limits: dict[str, Any]) -> None:
    decision = decided(LR, swept(LR, lambda x: math.log10(x)), limits=limits)
    x = decision.axes["x"]
    assert x.action == "narrow"  # the other side
    assert ends(x.new)[1] == 1e-2
    assert ends(x.new)[0] > 1e-4
    assert x.reason.endswith("at the upper edge, but its limit is reached")


def test_a_side_with_nothing_beyond_it() -> None:
    decision = decided(UNIT, swept(UNIT, lambda x: -x))
    x = decision.axes["x"]
    assert ends(x.new) == (0.0, 0.25)
    assert x.reason.endswith("the optimum lies at the lower edge, but nothing lies beyond it")
    assert decision.warnings == ()
    beyond = decided(UNIT, swept(UNIT, lambda x: -x), limits={"x": (-1.0, 1.0)})
    assert ends(beyond.axes["x"].new)[0] == -0.5


def test_widening_can_be_switched_off() -> None:
    decision = decided(LR, swept(LR, lambda x: math.log10(x)), rule=Rule(widen=False))
    assert ends(decision.axes["x"].new)[1] == 1e-2
    assert "but widening is switched off" in decision.axes["x"].reason
    assert decision.sampler == "tpe"


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_an_idle_axis_is_hardly_ever_widened(noise: float) -> None:
    widened = 0
    for seed in range(10):
        trials = sampled(XY, noisy(hill, noise, seed), 33, seed)
        widened += decided(XY, trials, noise=noise, limits=FAR).axes["y"].action == "widen"
    assert widened <= (1 if noise else 0)


def test_an_axis_on_which_nothing_depends_is_not_widened_for_a_trace() -> None:
    # Without noise the surrogate is sure of differences that are worth nothing.
    space = Space({"lr": LR, "weight_decay": WD})
    wd = decided(space, sampled(space, log_peak(1e-4))).axes["weight_decay"]
    assert max(wd.numbers["edges"].values()) > 0.9
    assert wd.action != "widen"


def test_a_range_that_is_kept_although_optima_crowd_at_its_edge_says_why() -> None:
    space = Space({"lr": LR, "weight_decay": WD})
    trials = sampled(space, noisy(log_peak(1e-4), 0.02, 2), 60, 2)
    wd = decided(space, trials, noise=0.02).axes["weight_decay"]
    assert wd.action == "keep"
    crowd = r"\d+ % of the optima lie at the upper edge, but "
    assert re.fullmatch(crowd + "they may lie anywhere at little cost", wd.reason)
    rising = sampled(XY, noisy(lambda p: hill(p) + 0.03 * p["y"], 0.02, 3), 60, 3)
    y = decided(XY, rising, noise=0.02, limits=FAR).axes["y"]
    assert y.action == "keep"
    assert re.fullmatch(crowd + r"\d+ % in the lower half", y.reason)


def test_an_optimum_near_an_edge_is_not_beyond_it() -> None:
    trials = swept(UNIT, noisy(lambda x: 0.9 - (x - 0.1) ** 2, 0.05))
    decision = one(UNIT, trials, noise=0.05, limits=FAR)
    assert 0.05 < decision.numbers["edges"]["lower"] < 0.5
    assert decision.action == "narrow"


def test_the_lower_edge_too() -> None:
    x = one(UNIT, swept(UNIT, lambda x: -x), limits=FAR)
    assert ends(x.new) == (-0.5, pytest.approx(0.25, abs=0.02))


@pytest.mark.parametrize(("axis", "new_high"), [(Int(1, 4), 6), (Int(8, 64, log=True), 188)])
def test_whole_numbers_are_widened_where_the_last_is_the_best(axis: Int, new_high: int) -> None:
    assert ends(one(axis, swept(axis, lambda x: x), noise=0.1).new)[1] == new_high


def test_a_value_that_is_half_of_the_box_is_not_an_edge_by_chance() -> None:
    space = Space({"x": UNIT, "layers": Int(1, 2)})
    widened = [
        decided(space, sampled(space, noisy(hill, 0.05, s), 40, s), noise=0.05)
        .axes["layers"]
        .action
        for s in range(10)
    ]
    assert widened.count("widen") <= 2


# Cliffs ------------------------------------------------------------------------------------------


def test_the_outer_tenth_is_the_edge() -> None:
    peak = noisy(lambda p: 1 - (p["x"] - 0.92) ** 2, 0.02, seed=2)
    decision = one(UNIT, sampled(Space({"x": UNIT}), peak, n=60, seed=2), noise=0.02)
    assert decision.action == "widen"


def test_an_optimum_that_may_lie_in_the_other_half_does_not_lean() -> None:
    def two(p: Mapping[str, Any]) -> float:
        near, far = ((p["x"] - 0.2) / 0.1) ** 2, ((p["x"] - 1.0) / 0.2) ** 2
        return max(0.9 * math.exp(-near), math.exp(-far))

    trials = sampled(Space({"x": UNIT}), noisy(two, 0.1, seed=3), n=60, seed=3)
    decision = one(UNIT, trials, noise=0.1)
    assert 0.67 < decision.numbers["edges"]["upper"] < 0.95
    assert decision.action == "keep"


def test_a_cliff_is_the_end_and_is_not_widened() -> None:
    # Rises until it breaks at 0.9: what leans on that side leans on the cliff.
    decision = one(UNIT, swept(UNIT, lambda x: x if x < 0.9 else math.nan), limits=FAR)
    low, high = ends(decision.new)
    assert decision.action == "narrow"
    assert 0.89 <= high < 0.95
    assert low > 0.4


def test_one_trial_beyond_the_rim_is_enough() -> None:
    trials = swept(UNIT, lambda x: x if x < 0.99 else math.nan)
    assert one(UNIT, trials, limits=FAR, noise=0.1).action == "narrow"
    assert one(UNIT, trials[:-1], limits=FAR, noise=0.1).action == "widen"


def test_the_box_reaches_to_a_cliff_beyond_the_optimum() -> None:
    trials = swept(UNIT, lambda x: 0.9 - (x - 0.4) ** 2 if x < 0.7 else math.nan)
    decision = one(UNIT, trials, noise=0.01)
    low, high = ends(decision.new)
    assert 0.7 <= high < 0.72
    assert 0.2 < low < 0.4
    assert decision.reason.endswith("training diverges above")
    assert decision.numbers["cliff"] == {"upper": pytest.approx(0.705)}


def test_a_cliff_near_the_other_end_leaves_little() -> None:
    # A quarter of the axis remains, but not of the abyss.
    limits = {"x": (0.0, 1.0)}
    below = swept(UNIT, lambda x: 1 - abs(x - 0.03) if x < 0.05 else math.nan)
    low, high = ends(one(UNIT, below, limits=limits).new)
    assert low == 0.0
    assert 0.05 <= high < 0.06
    above = swept(UNIT, lambda x: 1 - abs(x - 0.97) if x > 0.95 else math.nan)
    low, high = ends(one(UNIT, above, limits=limits).new)
    assert 0.94 < low <= 0.95
    assert high == 1.0


def test_a_cliff_below() -> None:
    trials = swept(UNIT, lambda x: 1.0 - x / 2 if x > 0.1 else math.nan)
    assert 0.05 < ends(one(UNIT, trials, limits=FAR).new)[0] <= 0.11


def test_what_another_parameter_breaks_is_no_cliff() -> None:
    trials = sampled(XY, lambda p: 0.2 + 0.5 * p["x"] + 0.2 * p["y"] if p["y"] < 0.8 else math.nan)
    decision = decided(XY, trials, limits=FAR, noise=0.01)
    assert ends(decision.space["x"])[1] == 1.5
    assert decision.axes["x"].numbers["cliff"] == {}
    assert 0.75 < ends(decision.space["y"])[1] < 0.9


def test_when_everything_diverged_all_is_kept() -> None:
    trials = [replace(t, value=0.1 + 0.01 * t.number) for t in swept(UNIT, lambda x: math.nan)]
    decision = decided(UNIT, trials)
    assert not decision.changed
    assert decision.axes["x"].reason == "100 of 100 trials diverged"
    assert decision.elites == ()


# Flat boxes --------------------------------------------------------------------------------------


def flat(level: float, seed: int = 0, noise: float = 0.04) -> list[Trial]:
    return sampled(XY, noisy(lambda p: level, noise, seed), 60, seed)


def test_where_nothing_learns_every_side_is_widened() -> None:
    found = [decided(XY, flat(0.1, s), noise=0.04, chance=0.1, limits=FAR) for s in range(40)]
    blind = [d for d in found if d.axes["x"].reason == "nothing learns here"]
    assert len(blind) >= 34  # a test at 5 %
    for decision in blind:
        assert [ends(axis) for axis in decision.space.axes.values()] == [(-0.5, 1.5)] * 2
        assert decision.sampler == "random"
        assert decision.warnings == (
            "Nothing learns here: all results are alike, and within twice their noise of chance "
            "(0.1).",
        )


def test_a_flat_box_above_chance_is_left_alone() -> None:
    for chance in (0.1, None):
        found = [decided(XY, flat(0.6, s), noise=0.04, chance=chance) for s in range(40)]
        still = [d for d in found if d.axes["x"].reason == "differences are below the noise"]
        assert len(still) >= 34
        assert not any(d.changed or d.warnings for d in still)


def test_chance_of_a_loss_lies_above() -> None:
    more = {"direction": "minimize", "noise": 0.04, "limits": FAR}
    assert decided(XY, flat(2.3), chance=2.3, **more).changed
    assert not decided(XY, flat(1.0), chance=2.3, **more).changed


def test_where_nothing_learns_and_nothing_may_grow_a_person_is_asked() -> None:
    trials = flat(0.1)
    more = {"noise": 0.04, "chance": 0.1}
    stuck = decided(XY, trials, limits={}, **more)
    assert not stuck.changed
    assert "every limit is reached. Set ranges by hand with --range" in stuck.warnings[0]
    off = decided(XY, trials, limits=FAR, rule=Rule(widen=False), **more)
    assert not off.changed
    assert "widening is switched off" in off.warnings[0]


def test_equal_results_are_flat_whatever_the_noise() -> None:
    trials = sampled(XY, lambda p: 0.3, 40)
    for noise in (None, 0.0, 0.04):
        decision = decided(XY, trials, noise=noise)
        assert decision.axes["y"].reason == "differences are below the noise"


def test_a_signal_above_the_noise_is_not_flat() -> None:
    assert decided(XY, sampled(XY, noisy(hill, 0.04)), noise=0.04).axes["x"].action == "narrow"


# Whether another stage is worth it ---------------------------------------------------------------


def test_it_stops_where_nothing_is_left_to_gain() -> None:

    def score(p: Mapping[str, Any]) -> float:
        return hill(p) - 2 * float((p["y"] - 0.4) ** 2)

    few, many = (decided(XY, sampled(XY, noisy(score, 0.05), n), noise=0.05) for n in (30, 400))
    assert few.gain is not None
    assert many.gain is not None
    assert many.gain < 0.0125 < few.gain
    assert few.stop is None
    assert many.changed
    assert many.stop is not None
    told = r"another stage can be expected to gain 0\.0\d+ at most, where one result .* ± 0\.05"
    assert re.fullmatch(told, many.stop)
    assert many.to_json()["gain"] == many.gain


def test_a_quarter_of_the_noise_is_worth_another_stage() -> None:
    shares = []
    for seed in range(6):
        decision = decided(XY, sampled(XY, noisy(hill, 0.05, seed), 60, seed), noise=0.05)
        assert decision.gain is not None
        share = decision.gain / 0.05
        assert (decision.stop is None) == (share >= 0.25)
        shares.append(share)
    assert any(0.15 < share < 0.25 for share in shares)
    assert any(0.25 < share < 0.4 for share in shares)


def test_what_grows_is_set_by_hand_or_has_no_noise_never_stops() -> None:
    space = Space({"x": UNIT})
    slope = sampled(space, noisy(lambda p: p["x"], 0.01), 400)
    widened = decided(UNIT, slope, noise=0.01, limits=FAR)
    assert widened.axes["x"].action == "widen"
    assert widened.stop is None
    trials = sampled(space, noisy(hill, 0.05), 400)
    assert decided(UNIT, trials, noise=0.05).stop is not None
    assert decided(UNIT, trials, noise=None).stop is None
    assert decided(UNIT, trials, noise=0.05, ranges={"x": (0.2, 0.3)}).stop is None


def test_where_nothing_is_cut_there_may_still_be_something_to_gain() -> None:
    rng = random.Random(0)
    trials = sampled(XY, lambda p: rng.random())
    decision = decided(XY, trials)
    assert not decision.changed
    assert decision.stop is None
    assert decision.sampler == "tpe"
    flat = decided(XY, trials, noise=0.3)
    assert flat.stop == "differences are below the noise: every setting is as good as the others"
    book = decided(XY, trials, rule=Rule("book"), ranges={"x": (0.0, 1.0), "y": (0.0, 1.0)})
    assert book.stop == "nothing to cut or widen: set by hand"


def test_the_gain_is_what_knowing_the_optimum_would_be_worth() -> None:
    """The optimum lies in a gap between the trials; what it is worth is known to the test."""
    swept_ = swept(UNIT, lambda x: hill({"x": x}), n=60)
    trials = [t for t in swept_ if abs(t.params["x"] - 0.6) > 0.1]
    best = max(t.value for t in trials if t.value is not None)
    decision = decided(UNIT, trials, noise=1e-4)
    assert decision.gain == pytest.approx(hill({"x": 0.6}) - best, rel=0.3)
