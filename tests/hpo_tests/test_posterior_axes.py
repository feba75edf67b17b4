"""The posterior's rule on whole numbers, steps, choices and conditions."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from made_trials import LR, UNIT, around, decided, ends, log_peak, noisy, one, sampled, swept, trial

from hpo.narrowing import Rule
from hpo.narrowing.positions import Positions
from hpo.space import Choice, Float, Int, Space

NESTED = Space(
    {
        "nesterov": Choice((True, False), when={"optimizer": ("momentum",)}),
        "optimizer": Choice(("sgd", "adam", "momentum")),
        "lr": LR,
        "layers": Int(1, 5),
        "width": Int(8, 512, log=True),
        "beta": Float(0.8, 1.0, when={"optimizer": ("adam", "momentum")}),
        "damping": Float(0.0, 1.0, step=0.1, when={"nesterov": (True,)}),
    }
)


# Rows --------------------------------------------------------------------------------------------


def test_candidates_are_rows_of_settings_that_there_are() -> None:
    """A row drawn, and one moved, is the row of the setting that it stands for."""
    positions = Positions(NESTED)
    rng = np.random.default_rng(0)
    drawn = positions.anywhere(300, rng)
    for rows in (drawn, positions.near(drawn, (0.03, 0.3), 300, rng)):
        for row in rows:
            at = dict(zip(NESTED, row.tolist(), strict=True))
            params: dict[str, Any] = {}
            for name in NESTED.parents_first():
                axis = NESTED[name]
                if NESTED.active(name, params):
                    if isinstance(axis, Choice):
                        params[name] = axis.value_at(int(at[name]))
                    else:
                        params[name] = axis.from_unit(at[name])
            assert NESTED.contains(params)
            assert positions.of([params])[0] == pytest.approx(row, abs=1e-9)


def test_candidates_cover_the_space() -> None:
    drawn = Positions(NESTED).anywhere(3000, np.random.default_rng(0))
    column = dict(zip(NESTED, drawn.T, strict=True))
    assert set(column["optimizer"]) == {0.0, 1.0, 2.0}
    assert set(column["nesterov"]) == {-1.0, 0.0, 1.0}
    assert (column["nesterov"] == -1).mean() == pytest.approx(2 / 3, abs=0.03)
    assert len(set(column["layers"])) == 5
    assert column["lr"].min() < 0.01 < 0.99 < column["lr"].max()


# Whole numbers and steps -------------------------------------------------------------------------


def test_whole_numbers_are_cut_to_whole_numbers() -> None:
    axis = Int(1, 20)
    new = one(axis, swept(axis, around(9)), noise=0.5).new
    low, high = ends(new)
    assert 4 <= low < 9 < high <= 14
    assert isinstance(new, Int)
    assert all(isinstance(end, int) for end in (low, high))


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


def test_a_discrete_axis_keeps_a_neighbour() -> None:
    axis = Int(1, 3)
    assert one(axis, swept(axis, lambda x: 5.0 * (x == 2)), noise=0.01).action == "keep"
    off = one(axis, swept(axis, lambda x: x), noise=0.01, rule=Rule(widen=False))
    assert off.new == Int(2, 3)


def test_an_end_off_the_lattice_is_left_alone() -> None:
    axis = Float(0.0, 1.0, step=0.3)
    new = one(axis, swept(axis, around(0.9)), rule=Rule(widen=False)).new
    assert ends(new)[1] == 1.0


# The shares of the optima -------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "optimum"), [(UNIT, 0.3), (LR, 1e-4), (Float(-3.0, 9.0), 9.0)])
def test_the_optima_are_told_in_twentieths_of_the_range(axis: Float, optimum: float) -> None:
    trials = swept(axis, lambda x: -abs(axis.to_unit(x) - axis.to_unit(optimum)))
    numbers = one(axis, trials, noise=0.1).numbers
    shares = numbers["optima"]
    assert len(shares) == 20
    assert sum(shares) == pytest.approx(1.0)
    low, high = (axis.to_unit(end) for end in numbers["hull"])
    assert low <= axis.to_unit(optimum) <= high
    for part, share in enumerate(shares):
        assert share == 0.0 or (part / 20 <= high and (part + 1) / 20 >= low)
    near = [s for i, s in enumerate(shares) if abs((i + 0.5) / 20 - axis.to_unit(optimum)) < 0.2]
    assert sum(near) > 0.9


def test_an_optimum_of_whole_numbers_is_spread_over_its_cell() -> None:
    axis = Int(1, 4)  # five twentieths each
    found = one(axis, swept(axis, lambda x: float(x == 2)), noise=0.3).numbers
    shares = np.array(found["optima"])
    assert shares.sum() == pytest.approx(1.0)
    assert np.ptp(shares.reshape(4, 5), axis=1) == pytest.approx(0.0)
    assert shares.reshape(4, 5).sum(axis=1)[1] > 0.5
    # In logarithms the cells of small numbers are wider: that of 1 is [0.5, 1.5] of [0.5, 10.5].
    axis = Int(1, 10, log=True)
    shares = np.array(one(axis, swept(axis, lambda x: float(x == 1))).numbers["optima"])
    wide = math.log(1.5 / 0.5) / math.log(10.5 / 0.5)
    assert shares.sum() == pytest.approx(1.0)
    assert shares[: int(20 * wide)] == pytest.approx(shares[0])
    assert shares[0] * 20 * wide == pytest.approx(1.0)
    assert not shares[int(20 * wide) + 1 :].any()


# Choices -----------------------------------------------------------------------------------------


def test_a_choice_that_is_never_the_best_is_dropped() -> None:
    space = Space({"optimizer": Choice(("sgd", "adam", "momentum")), "lr": LR})
    worth = {"sgd": 0.5, "adam": 0.9, "momentum": 0.9}
    trials = sampled(space, noisy(lambda p: worth[p["optimizer"]] + log_peak(1e-4)(p) / 9, 0.04))
    decision = decided(space, trials, noise=0.04)
    optimizer = decision.axes["optimizer"]
    assert decision.space["optimizer"] == Choice(("adam", "momentum"))
    assert optimizer.action == "narrow"
    assert optimizer.reason == "the optimum has hardly ever 'sgd'"
    assert optimizer.to_json()["new"] == ["adam", "momentum"]
    shares = [each["share"] for each in optimizer.numbers["choices"]]
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] < 0.005 < min(shares[1:])


def test_choices_without_influence_are_kept() -> None:
    space = Space({"optimizer": Choice(("sgd", "adam", "momentum")), "lr": LR})
    decision = decided(space, sampled(space, noisy(log_peak(1e-4), 0.1)), noise=0.1)
    assert decision.axes["optimizer"].action == "keep"
    assert decision.axes["optimizer"].reason == "each choice may be the best"


def test_a_choice_that_was_hardly_tried_is_kept() -> None:
    worth = {"a": 0.8, "b": 0.3, "c": 0.75}
    space = Space({"x": Choice(("a", "b", "c")), "y": UNIT})
    tried = sampled(space, noisy(lambda p: worth[p["x"]], 0.05))
    rare = [t for t in tried if t.params["x"] == "c"][1:]
    trials = [t for t in tried if t not in rare]
    assert decided(space, trials, noise=0.05).space["x"] == Choice(("a", "c"))


def test_the_best_and_the_confirmed_choice_stay() -> None:
    values = ["a", "b", "c"] * 33
    trials = [trial(i, {"x": v}, float(v == "b")) for i, v in enumerate(values)]
    axis = Choice(("a", "b", "c"))
    assert one(axis, trials, noise=0.05).new == Choice(("b",))
    assert one(axis, trials, noise=0.05, keep=[trial(200, {"x": "c"}, 0.5)]).new == Choice(
        ("b", "c")
    )
    trials[0] = trial(0, {"x": "a"}, 1.01)  # luck
    assert one(axis, trials, noise=0.05).new == Choice(("a", "b"))


def test_true_is_not_one() -> None:
    values = [True, 1, False] * 40
    trials = [trial(i, {"x": v}, float(v is True)) for i, v in enumerate(values)]
    new = one(Choice((True, 1, False)), trials, noise=0.05).new
    assert isinstance(new, Choice)
    assert [repr(v) for v in new.choices] == ["True"]


# Conditions --------------------------------------------------------------------------------------

BRANCH = Space({"kind": Choice(("a", "b")), "x": Float(0.0, 1.0, when={"kind": ("a",)})})


def branch(p: Mapping[str, Any]) -> float:
    return around(0.5)(p["x"]) if "x" in p else -0.2


def test_a_conditional_range_is_judged_by_the_trials_that_have_it() -> None:
    decision = decided(BRANCH, sampled(BRANCH, branch, n=120))
    new = decision.space["x"]
    assert decision.axes["x"].action == "narrow"
    low, high = ends(new)
    assert low < 0.5 < high
    assert high - low < 0.6
    assert new.when == {"kind": ("a",)}
    few = decided(BRANCH, sampled(BRANCH, branch, n=40)).axes["x"]
    assert few.action == "keep"
    assert few.reason.endswith("trials have it, 30 are needed")


def test_a_branch_that_is_worse_all_over_is_cut_all_the_same() -> None:
    # Where `kind` is "a" everything is worse, but nobody decides here what kind is taken.
    trials = sampled(BRANCH, lambda p: -abs(p["x"] - 0.3) - 0.3 if "x" in p else 0.0, n=120)
    decision = decided(BRANCH, trials, ranges={"x": (0.0, 1.0)})
    assert decision.space["kind"] == Choice(("a", "b"))
    alone = decided(BRANCH, trials)
    assert list(alone.space) == ["kind"]
    assert alone.axes["x"].reason == "it needs a choice of kind that was dropped"


def test_conditions_of_conditions() -> None:
    def score(p: Mapping[str, Any]) -> float:
        depth = -abs(p["damping"] - 0.7) if "damping" in p else -0.3
        return depth + log_peak(1e-4)(p) / 10

    trials = [t for t in sampled(NESTED, score, n=600) if "damping" in t.params or t.number < 120]
    decision = decided(NESTED, trials, noise=0.02)
    low, high = ends(decision.space["damping"])
    assert 0.2 < low < 0.7 < high
    assert high <= 1.0
    lr = ends(decision.space["lr"])
    assert 1e-6 < lr[0] < 1e-4 < lr[1] <= 1e-2


def test_a_choice_is_widened_nowhere_and_its_range_is() -> None:
    trials = sampled(BRANCH, lambda p: p.get("x", 0.1), n=120)
    decision = decided(BRANCH, trials, limits={"x": (0.0, 3.0)})
    assert ends(decision.space["x"])[1] == 1.5


def test_where_no_choice_learns_no_range_is_asked_for() -> None:
    space = Space({"kind": Choice(("a", "b"))})
    decision = decided(space, sampled(space, lambda p: 0.1), noise=0.03, chance=0.1)
    (warning,) = decision.warnings
    assert warning.endswith("of chance (0.1). There is no range that could grow.")


def test_a_choice_that_is_left_alone_has_no_rival() -> None:
    space = Space({"kind": Choice(("a",)), "x": UNIT})
    trials = sampled(space, lambda p: around(0.5)(p["x"]))
    assert decided(space, trials).axes["kind"].reason == "there is no other choice"
