"""What every pruner promises, one test per promise, over all pruners and both directions."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from statistics import fmean

import pytest

from hpo.pruning import PRUNERS, Reached, goes_on, rungs
from hpo.search import Direction, PrunerName

Curve = Sequence[float]
"""The reports of a trial; one that diverges has NaN as its last."""

both_directions = pytest.mark.parametrize("direction", ["maximize", "minimize"])
every_pruner = pytest.mark.parametrize("pruner", PRUNERS)
pruning_ones = pytest.mark.parametrize("pruner", [name for name in PRUNERS if name != "none"])
FULL = 27


def curves(n: int = 60, seed: int = 0, diverging: float = 0.2) -> list[Curve]:
    """Rising curves with noise, of which some diverge."""
    rng = random.Random(seed)
    made: list[Curve] = []
    for _ in range(n):
        end, speed = rng.random(), rng.uniform(0.5, 3)
        curve = [end * (1 - math.exp(-speed * t / 9)) + rng.gauss(0, 0.02) for t in range(1, 28)]
        if made and rng.random() < diverging:
            curve = [*curve[: rng.randrange(20)], math.nan]
        made.append(curve)
    return made


def row(slot: int, curve: Curve, reports: int, ended: bool, direction: Direction) -> Reached:
    """What the database says of a trial."""
    early = [value for value in curve[:reports] if not math.isnan(value)]
    there = len(curve) >= reports and not math.isnan(curve[reports - 1])
    diverged = any(map(math.isnan, curve))
    best = max if direction == "maximize" else min
    return Reached(
        slot=slot,
        completed=ended and not diverged,
        diverged=ended and diverged,
        reports=len(curve),
        value=curve[reports - 1] if there else None,
        mean=fmean(early) if early else None,
        best=best(early) if early else None,
    )


def lengths(pruner: PrunerName, all_curves: Sequence[Curve], direction: Direction) -> list[int]:
    """Run one trial after the other, and return how many reports each has made."""
    trained: list[Curve] = []
    ended: list[bool] = []
    for slot, curve in enumerate(all_curves):
        sound = [len(c) for c, e in zip(trained, ended, strict=True) if e and not math.isnan(c[-1])]
        most = max(sound, default=None)
        made = len(curve)
        for reports in rungs(pruner, most, slot):
            if reports > len(curve) or math.isnan(curve[reports - 1]):
                break
            assert most is not None
            seen = [
                row(i, *each, reports, e, direction)
                for i, (*each, e) in enumerate(zip(trained, ended, strict=True))
            ]
            seen.append(row(slot, curve[:reports], reports, False, direction))
            if not goes_on(pruner, most, slot, reports, seen, direction):
                made = reports
                break
        trained.append(curve[:made])
        ended.append(made == len(curve))
    return [len(curve) for curve in trained]


def towards(direction: Direction, made: Sequence[Curve]) -> list[Curve]:
    """The curves of a loss, where a loss is asked for."""
    sign = 1 if direction == "maximize" else -1
    return [[sign * value for value in curve] for curve in made]


@every_pruner
@both_directions
def test_the_same_reports_lead_to_the_same_decisions(pruner, direction):
    made = towards(direction, curves())
    assert lengths(pruner, made, direction) == lengths(pruner, made, direction)


@every_pruner
def test_a_loss_is_pruned_as_a_score_is(pruner):
    made = curves()
    higher = lengths(pruner, made, "maximize")
    assert lengths(pruner, towards("minimize", made), "minimize") == higher


@every_pruner
@both_directions
def test_nobody_is_asked_before_one_has_completed(pruner, direction):
    assert all(rungs(pruner, None, slot) == () for slot in range(99))
    made = towards(
        direction, [[*curve[:12], math.nan] for curve in curves(10, 1, 0.0)] + curves(3, 2, 0.0)
    )
    assert lengths(pruner, made, direction)[:11] == [13] * 10 + [FULL]


@every_pruner
@both_directions
@pytest.mark.parametrize("diverging", [0.0, 0.2, 0.7])
def test_the_best_so_far_is_never_pruned(pruner, direction, diverging):
    """A trial that leads at every rung: each is better everywhere than all before it."""
    rng = random.Random(3)
    made: list[Curve] = [[float(n + t / 99) for t in range(FULL)] for n in range(40)]
    made = [
        [*c[: rng.randrange(FULL)], math.nan] if n and rng.random() < diverging else c
        for n, c in enumerate(made)
    ]
    assert lengths(pruner, towards(direction, made), direction) == [len(curve) for curve in made]


@pruning_ones
@both_directions
@pytest.mark.parametrize("diverging", [0.0, 0.2, 0.7])
def test_much_is_saved_and_what_is_best_is_found(pruner, direction, diverging):
    made = curves(99, diverging=diverging)
    spent = lengths(pruner, towards(direction, made), direction)
    without = sum(map(len, made))
    assert sum(spent) < {"median": 0.8, "hyperband": 0.65, "asha": 0.5}[pruner] * without
    completed = [c[-1] for c, n in zip(made, spent, strict=True) if n == FULL]
    assert max(completed) > sorted(c[-1] for c in made if len(c) == FULL)[-3] - 0.05


@pruning_ones
@both_directions
def test_equals_all_go_on(pruner, direction):
    assert lengths(pruner, [[0.5] * FULL] * 20, direction) == [FULL] * 20


@every_pruner
@pytest.mark.parametrize("most", [1, 2, 3, 9, 10, 50, 1000])
def test_rungs_rise_and_lie_before_the_last_report(pruner, most):
    for slot in range(50):
        at = rungs(pruner, most, slot)
        assert all(a < b for a, b in itertools.pairwise(at))
        assert all(0 < rung < most for rung in at)
    assert (pruner == "none" or most == 1) == (rungs(pruner, most, 0) == ())


@pruning_ones
@both_directions
def test_the_order_of_the_rows_does_not_matter(pruner, direction):
    made = curves(30)
    rows = [row(n, curve, 3, True, direction) for n, curve in enumerate(made)]
    asked = [n for n, each in enumerate(rows) if each.value is not None]
    for slot in asked:
        answers = {
            goes_on(pruner, FULL, slot, 3, random.Random(i).sample(rows, 30), direction)
            for i in range(3)
        }
        assert len(answers) == 1
