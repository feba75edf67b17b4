"""How ranges follow from trials, whatever the rule: which trials count, what is set by hand."""

import copy
import json
import math
import random
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_trials import (
    LR,
    UNIT,
    WD,
    around,
    decided,
    ends,
    log_peak,
    noisy,
    sampled,
    swept,
    trial,
)

from hpo.errors import DefinitionError, NotEnoughTrials, UsageError
from hpo.narrowing import (
    Decision,
    Rule,
    decide,
    default_limits,
    needed,
    parameters,
    usable,
)
from hpo.space import Axis, Choice, Float, Int, Space
from hpo.trial import Trial, TrialState, merged

BOOK = Rule("book")


def test_there_are_two_rules() -> None:
    trials = swept(UNIT, around(0.5))
    assert decided(UNIT, trials).rule == "posterior"
    assert decided(UNIT, trials, rule=BOOK).rule == "book"
    with pytest.raises(UsageError, match="rule 'pad20': there are posterior and book"):
        Rule("pad20")  # type: ignore[arg-type]


def test_top_is_for_the_book_alone() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        Rule("book", top=1)
    with pytest.raises(UsageError, match="Add --rule book"):
        Rule(top=5)


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
    decision = decided(UNIT, trials, rule=BOOK)
    assert decision.trials == 100
    assert [number for _, number in decision.elites] == [69, 68, 67, 66, 65]
    few = decided(UNIT, trials[65:], rule=Rule("book", top=7))  # five of the best have finished
    assert [number for _, number in few.elites] == [69, 68, 67, 66, 65, 70, 71]


def test_equals_are_ranked_by_age() -> None:
    trials = swept(UNIT, lambda x: 0.5)
    assert [number for _, number in decided(UNIT, trials[::-1], rule=BOOK).elites] == [
        0,
        1,
        2,
        3,
        4,
    ]


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


# Ranges by hand ----------------------------------------------------------------------------------


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
    assert re.fullmatch(
        r"The range of lr leaves out \S+, of the setting of the best result\.", decision.warnings[0]
    )
    kept = [trial(200, {"lr": 2e-3, "weight_decay": 1e-7, "units": 1}, 0.5)]
    (warning,) = decided(space, trials, ranges=by_hand, keep=kept).warnings
    assert warning == (
        "The range of weight_decay leaves out 1e-07, of the setting that is recommended or "
        "confirmed."
    )


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
    worth = {"sgd": 0.9, "adam": 0.9, "momentum": 0.3}
    trials = sampled(NESTED, noisy(lambda p: worth[p["optimizer"]], 0.04), n=150)
    decision = decided(NESTED, trials, noise=0.04)

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


def test_the_evidence_survives_json() -> None:
    space = Space({"lr": LR, "weight_decay": WD})
    decision = decided(space, sampled(space, log_peak(1e-4)))
    stored = json.loads(json.dumps(decision.to_json(), allow_nan=False))
    assert stored == decision.to_json()
    assert set(stored) == {"rule", "trials", "elites", "sampler", "gain", "axes", "warnings"}
    assert set(stored["axes"]["lr"]) == {"action", "old", "new", "reason", "numbers"}
    assert stored["axes"]["lr"]["old"] == [1e-6, 1e-2]
    assert len(stored["elites"]) == 1


# Promises on any evidence ------------------------------------------------------------------------


RULES = [Rule(), Rule(widen=False), Rule("book"), Rule("book", top=2), Rule("book", top=50)]


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
        "rule": draw(st.sampled_from(RULES)),
        "noise": draw(st.sampled_from([None, 0.0, 0.1, 2.0])),
        "chance": draw(st.sampled_from([None, 0.0])),
        "keep": [t for t in trials[:5] if not t.diverged],
    }
    return space, trials, more


def steady(seed: int, space: Space, trials: list[Trial], more: dict[str, Any]) -> Decision:
    return decide(space, trials, rng=np.random.default_rng(seed), **more)


@settings(deadline=None, max_examples=40)
@given(stages())
def test_new_ranges_are_legal_and_hold_the_best(
    stage: tuple[Space, list[Trial], dict[str, Any]],
) -> None:
    space, trials, more = stage
    before = copy.deepcopy((space, trials, more))
    decision = steady(0, *stage)

    assert (space, trials, more) == before
    assert steady(0, space, trials[::-1], more) == decision
    json.dumps(decision.to_json(), allow_nan=False)
    by_number = {(t.stage, t.number): t for t in trials}
    best = [by_number[elite] for elite in decision.elites]
    assert not any(t.diverged for t in best)
    rule = more["rule"]
    inside = [t.params for t in best]
    if best and rule.name == "posterior":
        inside += [kept.params for kept in more["keep"]]
    for name, axis in space.axes.items():
        new = decision.space[name]
        assert type(new) is type(axis)
        for params in inside:
            assert new.contains(params[name])
        if isinstance(axis, Choice):
            assert isinstance(new, Choice)
            assert new.choices
            assert set(new.choices) <= set(axis.choices)
            continue
        assert isinstance(new, Float | Int)
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
            assert rule.widen
            assert rule.name == "posterior"
