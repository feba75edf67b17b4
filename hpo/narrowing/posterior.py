"""The rule "posterior": keep where the optimum can be; widen where it is probably outside.

1. Functions are drawn from a surrogate of all trials, of any sampler; see `optimum`. An axis is cut
   to the hull of their optima and a margin, and holds the best setting and the confirmed ones.
2. One end alone beyond which training diverges is set where it first did, and not moved outward.
   Divergence beyond both is another parameter's doing, and says nothing about this one.
3. Two of three optima at one edge: the true one is probably outside. The side is moved outward by
   half the width.
4. A choice that hardly any of the functions prefers is dropped.
5. Results that differ by no more than their noise say nothing about any axis. At the level of
   chance nothing learns in this box, and every side is moved outward.
6. Where knowing the optimum would be worth less than a quarter of the noise of one result, and no
   range grows, searching on is not worth it. That nothing can be cut is no reason to stop: inside
   the same ranges TPE still finds what the trials so far have missed (benchmarks/search.py).

How often it loses the optimum, benchmarks/narrowing.py measures; two basins are the hardest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hpo.narrowing.decision import (
    BELOW_NOISE,
    MATTERS,
    NOTHING_LEARNS,
    AxisDecision,
    Rule,
    Side,
    compared,
)
from hpo.narrowing.evidence import Evidence, cliffs
from hpo.narrowing.optimum import Optimum
from hpo.narrowing.ruler import Numeric, cell, decades, grown, natural, shrunk, text
from hpo.narrowing.surrogate import Array, in_units, unit_of
from hpo.space import Choice, Scalar, Space
from hpo.trial import Trial

_MARGIN = 0.15  # of the hull's width, on each side
_LEAST = 0.25  # part of an axis that always remains
_LEAST_DECADES = 0.5
_WORTH = 0.9  # a cut that leaves more than this is none
_EDGE = 0.1  # part of an axis that is its edge
_MOST = 2 / 3  # of the optima, which the axis leans on
_OTHER_HALF = 0.02  # share of the optima that may lie far from an edge that the axis leans on
_WORTHWHILE = 0.25  # part of the noise that another stage must be expected to gain
_LEVEL = 0.05  # of the test whether all results are alike
_SIDES: tuple[Side, Side] = ("lower", "upper")
_BEYOND: dict[Side, str] = {"lower": "below", "upper": "above"}
_OPPOSITE: dict[Side, Side] = {"lower": "upper", "upper": "lower"}


@dataclass(frozen=True)
class Answer:
    """What the rule says.

    Args:
        axes: The decision on each parameter.
        warnings: What a person should be warned of.
        gain: What knowing the optimum would be worth; None if there is no single surrogate.
        stop: Why another stage is not worth its trials; None if it may be.
    """

    axes: Mapping[str, AxisDecision]
    warnings: Sequence[str] = ()
    gain: float | None = None
    stop: str | None = None


@dataclass(frozen=True)
class Question:
    """What the rule is asked, beside the trials.

    Args:
        names: The parameters to decide on.
        limits: How far each range may grow; a parameter that is not named does not grow.
        noise: Standard deviation of one result; None if it is not known.
        chance: The value that guessing reaches; None if it is not known.
        keep: Settings that must stay inside, beside the best.
        needed: Choices that must stay, with the name of their parameter.
        failing: The sides of each range beyond which the objective fails.
    """

    names: Collection[str]
    limits: Mapping[str, tuple[float, float]]
    noise: float | None = None
    chance: float | None = None
    keep: Sequence[Mapping[str, Any]] = ()
    needed: Collection[tuple[str, Scalar]] = ()
    failing: Mapping[str, Collection[Side]] = field(default_factory=dict)

    def limit(self, name: str, axis: Numeric) -> tuple[float, float]:
        """Return how far a range may grow."""
        return self.limits.get(name, (axis.low, axis.high))


def decide(evidence: Evidence, question: Question, rule: Rule, rng: np.random.Generator) -> Answer:
    """Return the decision on each parameter, and whether another stage is worth it."""
    observed = evidence.sign * np.array([t.value for t in evidence.usable], dtype=float)
    unit = unit_of(observed)
    scores, variances = in_units(observed, unit), None
    if question.noise is not None:
        repeats = np.array(evidence.repeats, dtype=float)
        variances = in_units(np.array(question.noise), unit) ** 2 / repeats
    if _alike(scores, variances):
        return _flat(evidence, question, rule, unit * float(scores.mean()))

    decisions: dict[str, AxisDecision] = {}
    optima: list[Optimum] = []
    for name in question.names:
        axis, trials = evidence.space[name], evidence.having(name)
        if why_not := evidence.why_not(name):
            decisions[name] = compared(axis, axis, why_not, {"n": len(trials)})
            continue
        # Only the settings that have the parameter say something about it.
        space = _always(evidence.space, name)
        optimum = next((known for known in optima if known.space == space), None)
        if optimum is None:
            here = np.array([name in t.params for t in evidence.usable])
            noise = None if variances is None else variances[here]
            optimum = Optimum.of(space, trials, scores[here], noise, rng)
            optima.append(optimum)
        inside = [t.params for t in evidence.winners if name in t.params][:1]
        inside += [s for s in question.keep if name in s and axis.contains(s[name])]
        values = [setting[name] for setting in inside]
        if isinstance(axis, Choice):
            values += [value for parent, value in question.needed if parent == name]
            decisions[name] = _choice(axis, name, optimum, values)
        else:
            reach = Reach.of(axis, name, optimum, trials, values, question.failing.get(name, ()))
            decisions[name] = _numeric(axis, name, reach, question, rule)
    gain = next((unit * known.gain for known in optima if known.space == evidence.space), None)
    grows = any(decision.action == "widen" for decision in decisions.values())
    stop = None if grows else _not_worth_it(gain, question.noise)
    return Answer(decisions, (), gain, stop)


def _not_worth_it(gain: float | None, noise: float | None) -> str | None:
    if gain is None or noise is None or gain >= _WORTHWHILE * noise:
        return None
    return (
        f"another stage can be expected to gain {gain:.2g} at most, "
        f"where one result is known to ± {noise:.2g}"
    )


def _always(space: Space, name: str) -> Space:
    """Return the part of a space in which a parameter always exists."""
    axes = dict(space.axes)
    parents = [name]
    while parents:
        for parent, values in (space[parents.pop()].when or {}).items():
            choice = axes[parent]
            assert isinstance(choice, Choice)
            fitting = tuple(v for v in choice.choices if Choice(values).contains(v))
            axes[parent] = replace(choice, choices=fitting)
            parents.append(parent)
    return Space(axes)


@dataclass(frozen=True)
class Reach:
    """Where on one range the optimum can be, in positions."""

    values: tuple[float, float]  # lowest and highest optimum
    hull: tuple[float, float]  # the same as positions, whole cells
    inside: tuple[float, float]  # lowest and highest value that must remain
    edges: Mapping[Side, float]  # the probability that the optimum lies at each edge
    halves: Mapping[Side, float]  # the probability that it lies in the half at each side
    losses: Mapping[Side, float]  # what that half is worth, in sd of the scores
    lean: Side | None
    cliffs: Mapping[Side, float]  # where training first diverges beyond the hull
    optima: Sequence[float]  # the shares of the optima in equal parts of the range

    @classmethod
    def of(
        cls,
        axis: Numeric,
        name: str,
        optimum: Optimum,
        trials: Sequence[Trial],
        values: Sequence[float],
        failing: Collection[Side],
    ) -> Reach:
        """Measure one axis.

        Args:
            axis: The axis.
            name: Its name.
            optimum: The optima that were drawn.
            trials: Those that have the parameter.
            values: Its values in the settings that must remain.
            failing: The sides beyond which the objective fails.
        """
        low, high = (axis.from_unit(u) for u in optimum.hull(name))
        hull = cell(axis, low)[0], cell(axis, high)[1]
        column = optimum.column(name)
        # The edge of a discrete axis is its last value, however much of the box that takes.
        zones = {
            "lower": max(_EDGE, cell(axis, axis.from_unit(0.0))[1]),
            "upper": max(_EDGE, 1.0 - cell(axis, axis.from_unit(1.0))[0]),
        }
        edges: dict[Side, float] = {
            "lower": float((column <= zones["lower"]).mean()),
            "upper": float((column >= 1.0 - zones["upper"]).mean()),
        }
        halves: dict[Side, float] = {
            "lower": float((column < 0.5).mean()),
            "upper": float((column > 0.5).mean()),
        }
        losses = {side: optimum.loss(name, side) / optimum.scale for side in _SIDES}
        rims = cliffs(axis, name, trials, hull)
        leaning = [
            side
            for side in _SIDES
            if edges[side] > _MOST
            # On an axis that matters little, optima crowd at both of its edges, or at any.
            and halves[_OPPOSITE[side]] <= _OTHER_HALF
            and losses[side] >= MATTERS
            and side not in rims
            and side not in failing
        ]
        inside = min(low, *values), max(high, *values)
        lean = leaning[0] if leaning else None
        optima = optimum.shares(name)
        return cls((low, high), hull, inside, edges, halves, losses, lean, rims, optima)

    def box(self, axis: Numeric) -> tuple[float, float]:
        """Return what remains of the axis, in positions."""
        low, high = self.hull
        margin = _MARGIN * (high - low)
        # The rim of a cliff is inside, the abyss outside.
        low = self.cliffs.get("lower", low - margin)
        high = self.cliffs.get("upper", high + margin)
        low = 0.0 if self.lean == "lower" else min(low, cell(axis, self.inside[0])[0])
        high = 1.0 if self.lean == "upper" else max(high, cell(axis, self.inside[1])[1])
        least = max(_LEAST, _LEAST_DECADES / decades(axis)) if axis.log else _LEAST
        low, high = _wide_enough(low, high, least, self.cliffs)
        return (low, high) if high - low <= _WORTH or self.cliffs else (0.0, 1.0)


def _numeric(
    axis: Numeric, name: str, reach: Reach, question: Question, rule: Rule
) -> AxisDecision:
    low, high = reach.box(axis)
    cut = new = shrunk(axis, (low, high), reach.inside)
    if cut.low == cut.high:  # one value, and a cliff right beside it
        cut = new = axis
    stuck = None
    if reach.lean is not None:
        limits = question.limit(name, axis)
        new = grown(axis, cut, reach.lean, limits) if rule.widen else cut
        if new == cut:
            stuck = "its limit is reached" if rule.widen else "widening is switched off"
            if natural(axis, reach.lean, limits):
                stuck = "nothing lies beyond it"
    numbers = {
        "hull": list(reach.values),
        "kept": min(high, 1.0) - max(low, 0.0),
        "edges": dict(reach.edges),
        "lean": reach.lean,
        "worth": max(reach.losses.values()),
        "cliff": dict(reach.cliffs),  # a position, like `kept`
        "optima": list(reach.optima),
    }
    return compared(axis, new, _reason(axis, new, reach, stuck), numbers)


def _reason(axis: Numeric, new: Numeric, reach: Reach, stuck: str | None) -> str:
    if reach.lean is not None:
        share = 100 * reach.edges[reach.lean]
        phrase = f"with a probability of {share:.0f} % the optimum lies at the {reach.lean} edge"
        return f"{phrase}, but {stuck}" if stuck else phrase
    if new == axis and reach.hull[1] - reach.hull[0] > _WORTH:
        return _why_kept(reach)
    low, high = (text(axis, value) for value in reach.values)
    phrase = (
        f"the optimum lies at {low}"
        if low == high
        else f"the optimum lies between {low} and {high}"
    )
    return phrase + _cliffs(reach) + ", too wide to cut much" * (new == axis)


def _why_kept(reach: Reach) -> str:
    side = max(_SIDES, key=lambda side: reach.edges[side])
    if reach.edges[side] <= _MOST:
        return "the optimum may lie anywhere in the range"
    crowded = f"{100 * reach.edges[side]:.0f} % of the optima lie at the {side} edge"
    if reach.losses[side] < MATTERS:
        return f"{crowded}, but they may lie anywhere at little cost"
    if (other := reach.halves[_OPPOSITE[side]]) > _OTHER_HALF:
        return f"{crowded}, but {100 * other:.0f} % in the {_OPPOSITE[side]} half"
    return crowded + _cliffs(reach)


def _cliffs(reach: Reach) -> str:
    return "".join(f", training diverges {_BEYOND[side]}" for side in reach.cliffs)


def _choice(axis: Choice, name: str, optimum: Optimum, wanted: Sequence[Scalar]) -> AxisDecision:
    column = optimum.column(name)
    shares = [float((column == place).mean()) for place in range(axis.count)]
    kept, dropped = [], []
    for value, share in zip(axis.choices, shares, strict=True):
        # Compared as a choice does, which tells True from 1.
        must = any(map(Choice((value,)).contains, wanted))
        if must or share >= optimum.risk / axis.count:
            kept.append(value)
        else:
            dropped.append(repr(value))
    reason = "each choice may be the best" if axis.count > 1 else "there is no other choice"
    if dropped:
        reason = f"the optimum has hardly ever {' or '.join(dropped)}"
    numbers = {
        "choices": [
            {"value": value, "share": share}
            for value, share in zip(axis.choices, shares, strict=True)
        ],
        "worth": _most_lost(axis, name, optimum) / optimum.scale,
    }
    return compared(axis, replace(axis, choices=tuple(kept)), reason, numbers)


def _most_lost(axis: Choice, name: str, optimum: Optimum) -> float:
    """Return what would be lost without the best of several choices."""
    if axis.count == 1:
        return 0.0
    return max(optimum.loss_of(name, place) for place in range(axis.count))


def _alike(scores: Array, variances: Array | None) -> bool:
    """Return whether scores differ by no more than their noise."""
    from scipy.special import chdtri

    if variances is None or not variances.all():
        return bool(scores.min() == scores.max())
    mean = np.average(scores, weights=1 / variances)
    with np.errstate(over="ignore"):  # an infinite spread is one above the noise
        spread = float(((scores - mean) ** 2 / variances).sum())
    return spread <= float(chdtri(len(scores) - 1, _LEVEL))


def _flat(evidence: Evidence, question: Question, rule: Rule, level: float) -> Answer:
    """Decide where all results are alike: widen everywhere if they are chance's, or else stop."""
    hopeless = question.chance is not None and level <= evidence.sign * question.chance + 2 * (
        question.noise or 0.0
    )
    reason = NOTHING_LEARNS if hopeless else BELOW_NOISE
    decisions: dict[str, AxisDecision] = {}
    for name in question.names:
        axis = evidence.space[name]
        if not hopeless or not rule.widen or isinstance(axis, Choice):
            decisions[name] = compared(axis, axis, reason, {})
            continue
        limits = question.limit(name, axis)
        new = grown(axis, grown(axis, axis, "lower", limits), "upper", limits)
        decisions[name] = compared(axis, new, reason, {})
    if not hopeless:
        return Answer(decisions, stop=f"{reason}: every setting is as good as the others")
    warning = (
        "Nothing learns here: all results are alike, and within twice their noise of chance "
        f"({question.chance:g})."
    )
    stop = None
    if all(decision.action == "keep" for decision in decisions.values()):
        stop = reason
        why = "every limit is reached" if rule.widen else "widening is switched off"
        by_hand = f"No range grows: {why}. Set ranges by hand with --range NAME=LOW:HIGH."
        if all(isinstance(axis, Choice) for axis in evidence.space.axes.values()):
            by_hand = "There is no range that could grow."
        warning += f" {by_hand}"
    return Answer(decisions, [warning], stop=stop)


def _wide_enough(
    low: float, high: float, least: float, cliffs: Mapping[Side, float]
) -> tuple[float, float]:
    """Return the interval grown to a least width inside [0, 1], and not over a cliff."""
    low, high = max(low, 0.0), min(high, 1.0)
    missing = max(least - (high - low), 0.0)
    below = 0.0 if "lower" in cliffs else missing if "upper" in cliffs else missing / 2
    low, high = low - below, high + missing - below
    # What does not fit on one side goes to the other.
    low, high = min(low, low - (high - 1.0)), max(high, high - low)
    return max(low, cliffs.get("lower", 0.0)), min(high, cliffs.get("upper", 1.0))
