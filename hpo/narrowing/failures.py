"""Failures as evidence: where the objective raises beyond one end of a range, the range ends there.

A failed trial has no score, and no surrogate learns from it: left to the scores alone, an optimum
can lie among the failures. So the ranges are cut before any rule looks at the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from hpo.narrowing.decision import (
    BELOW_NOISE,
    NOTHING_LEARNS,
    AxisDecision,
    Side,
    compared,
)
from hpo.narrowing.evidence import Evidence
from hpo.narrowing.ruler import Numeric, cell, shrunk
from hpo.space import Axis, Choice, Space
from hpo.trial import Trial, by_setting

_OWN = ("error", "diverged")
"""Reasons of a failure that lie in the setting; a lost worker or a time limit may be bad luck."""

_LEVEL = 0.002
"""Of each end of each range. Simulated with 30 to 100 trials and one to five ranges: of stages with
5 % random failures up to 2 % are cut, with 50 % up to 6 %. With 33 trials or more, two failures
beyond all others suffice, if no other failed."""

_NONE_MUST_STAY = (math.inf, -math.inf)  # the best lie inside anyway

Ends = Mapping[tuple[str, Side], float]
"""The innermost value that failed beyond an end of a range."""


@dataclass(frozen=True)
class Ground:
    """What the ranges are without the ends beyond which the objective fails.

    Args:
        evidence: The trials that lie in what is left, and its space.
        ends: Where it ends, also where the old ranges do not reach.
        old: The space that was searched.
        failures: How many failed settings of the old space show where it ends.
    """

    evidence: Evidence
    ends: Ends
    old: Space
    failures: int

    @classmethod
    def of(
        cls,
        space: Space,
        trials: Sequence[Trial],
        direction: str,
        replicates: int = 1,
        keep: Iterable[Trial] = (),
        by_hand: Iterable[str] = (),
    ) -> Ground:
        """Judge the failures among some trials, from inside the space and from elsewhere.

        Args:
            space: The space that was searched.
            trials: The trials.
            direction: "maximize" or "minimize".
            replicates: Number of replicates of each setting.
            keep: Settings that are not cut off, beside the best.
            by_hand: Parameters whose ranges are not asked for.
        """
        evidence = Evidence.of(space, trials, direction, replicates)
        failed, sound = _settings(trials, replicates)
        found, shown = _ends(evidence, failed, sound, keep)
        # What a range set by hand explains, no other has to.
        given = set(by_hand)
        ends = {(name, side): end for (name, side), end in found.items() if name not in given}
        left = _without(space, ends)
        inside = sum(space.contains(trial.params) for trial in shown)
        if left != space:
            evidence = Evidence.of(left, trials, direction, replicates)
        return cls(evidence, ends, space, inside)

    @property
    def space(self) -> Space:
        """What is left of the space."""
        return self.evidence.space

    @property
    def enough(self) -> bool:
        """Whether there is something to decide, if only that a range ends where all fails."""
        return self.missing <= 0

    @property
    def missing(self) -> int:
        """How many settings are missing, 0 or less if none."""
        cut = self.failures if self.space != self.old else 0
        return self.evidence.needed - len(self.evidence.usable) - cut

    def failing(self, name: str) -> list[Side]:
        """Return the sides at which a range of the space that is left cannot grow."""
        return [
            side
            for (of, side), value in self.ends.items()
            if of == name and _reaches(self.old[name], side, value)
        ]

    def limits(
        self, limits: Mapping[str, tuple[float, float]]
    ) -> Mapping[str, tuple[float, float]]:
        """Return how far each range may grow: never past a value that fails."""
        found = dict(limits)
        for (name, side), value in self.ends.items():
            axis = self.space[name]
            assert not isinstance(axis, Choice)
            low, high = found.get(name, (axis.low, axis.high))
            if axis.discrete:  # the value itself is one that fails
                value = axis.value_at(axis.index(value) + (1 if side == "lower" else -1))
            low, high = (max(low, value), high) if side == "lower" else (low, min(high, value))
            found[name] = low, high
        return found

    def told(self, name: str, decision: AxisDecision) -> AxisDecision:
        """Return a decision on what is left of a range as one on the range that was searched."""
        failing = self.failing(name)
        if not failing:
            return decision
        reason = decision.reason
        if reason not in (BELOW_NOISE, NOTHING_LEARNS):
            where = " and ".join("above" if side == "upper" else "below" for side in failing)
            reason += f", training fails {where}"
        old, part = self.old[name], self.space[name]
        assert not isinstance(old, Choice)
        assert not isinstance(part, Choice)
        numbers = _seen_from(old, part, decision.numbers)
        rims = {side: _rim(old, side, self.ends[name, side]) for side in failing}
        numbers["cliff"] = {**numbers.get("cliff", {}), **rims}
        assert decision.new is not None
        return compared(old, decision.new, reason, numbers)


def missing(space: Space, trials: Sequence[Trial], direction: str, replicates: int = 1) -> int:
    """Return how many settings `decide` needs beside the trials, 0 or less if none."""
    return Ground.of(space, trials, direction, replicates).missing


def _settings(trials: Iterable[Trial], replicates: int) -> tuple[list[Trial], list[Trial]]:
    """Return the settings of which all replicates failed, and those that have a sound score."""
    failed, sound = [], []
    for setting in by_setting((t for t in trials if t.state.counted), replicates):
        if any(t.value is not None and not t.diverged for t in setting):
            sound.append(setting[0])
        elif any(t.reason in _OWN for t in setting) and all(t.value is None for t in setting):
            failed.append(setting[0])
    return failed, sound


@dataclass(frozen=True)
class _End:
    """An end of a range that parts the failures from the other trials."""

    name: str
    side: Side
    value: float
    misplaced: int

    def beyond(self, trial: Trial) -> bool:
        value = trial.params.get(self.name)
        if value is None:
            return False
        return bool(value >= self.value if self.side == "upper" else value <= self.value)


def _ends(
    evidence: Evidence,
    failed: Sequence[Trial],
    sound: Sequence[Trial],
    keep: Iterable[Trial],
) -> tuple[dict[tuple[str, Side], float], list[Trial]]:
    """Return the ends of ranges beyond which trials fail, with the failures there.

    One after the other, the plainest first: what one range explains, no other has to.
    """
    kept, left = list(keep), list(failed)
    ends: dict[tuple[str, Side], float] = {}
    while left:
        found = []
        for name, axis in evidence.space.axes.items():
            best = [t.params[name] for t in (*evidence.best(name), *kept) if name in t.params]
            if isinstance(axis, Choice) or not best:
                continue
            tried = [(t.params[name], True) for t in left if name in t.params]
            tried += [(t.params[name], False) for t in sound if name in t.params]
            sides: tuple[Side, Side] = ("lower", "upper")
            found += [_end(name, s, tried, best) for s in sides if (name, s) not in ends]
        plainest = min((end for end in found if end), key=lambda e: e.misplaced, default=None)
        if plainest is None:
            break
        ends[plainest.name, plainest.side] = plainest.value
        left = [trial for trial in left if not plainest.beyond(trial)]
    return ends, [trial for trial in failed if trial not in left]


def _end(
    name: str, side: Side, tried: Sequence[tuple[float, bool]], best: Sequence[float]
) -> _End | None:
    """Return the value beyond the best from which on trials fail, if most do, and not by chance.

    Of all values it is the one that misplaces the fewest: failures before it, and others from
    there on.
    """
    sign = 1 if side == "upper" else -1
    outermost_first = sorted(((sign * value, failed) for value, failed in tried), reverse=True)
    furthest = max(sign * value for value in best)
    failures = sum(failed for _, failed in tried)
    found, fewest = (0.0, 0, 0), failures
    beyond = lost = 0
    for value, group in groupby(outermost_first, key=itemgetter(0)):
        if value <= furthest:
            break
        there = [failed for _, failed in group]
        beyond, lost = beyond + len(there), lost + sum(there)
        if any(there) and (misplaced := failures - lost + beyond - lost) < fewest:
            found, fewest = (sign * value, lost, beyond), misplaced
    value, lost, beyond = found
    if not lost or _by_chance(lost, beyond, failures, len(tried)) > _LEVEL:
        return None
    return _End(name, side, value, fewest)


def _by_chance(lost: int, beyond: int, failures: int, tried: int) -> float:
    """Return the probability that so many failures lie in a part of all trials (Fisher's test)."""
    ways = sum(
        math.comb(failures, i) * math.comb(tried - failures, beyond - i)
        for i in range(lost, min(beyond, failures) + 1)
    )
    return ways / math.comb(tried, beyond)


def _without(space: Space, ends: Ends) -> Space:
    """Return a space cut at the ends of its ranges; the first value that failed is its rim."""
    axes: dict[str, Axis] = dict(space.axes)
    for (name, side), value in ends.items():
        axis = axes[name]
        assert not isinstance(axis, Choice)
        rim = _rim(axis, side, value)
        cut = shrunk(axis, (0.0, rim) if side == "upper" else (rim, 1.0), _NONE_MUST_STAY)
        if cut.low < cut.high:
            axes[name] = cut
    return Space(axes)


def _rim(axis: Axis, side: Side, value: float) -> float:
    """Return the position of the inner end of a value."""
    assert not isinstance(axis, Choice)
    return cell(axis, value)[0 if side == "upper" else 1]


def _reaches(axis: Axis, side: Side, value: float) -> bool:
    """Return whether a range reaches as far as a value that fails, or to the one before it."""
    rim = _rim(axis, side, value)
    return rim <= 1.0 + 1e-9 if side == "upper" else rim >= -1e-9


def _seen_from(old: Numeric, part: Numeric, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence on a part of a range with its positions in the whole range."""
    low, high = cell(old, part.low)[0], cell(old, part.high)[1]
    width = high - low
    found = dict(numbers)
    if "kept" in found:
        found["kept"] *= width
    if "cliff" in found:
        found["cliff"] = {side: low + width * at for side, at in found["cliff"].items()}
    if "optima" in found:
        count = len(found["optima"])
        spread = [0.0] * count
        for i, share in enumerate(found["optima"]):
            start, end = (count * (low + width * (i + j) / count) for j in (0, 1))
            for place in range(count):
                spread[place] += (
                    share * max(min(end, place + 1) - max(start, place), 0.0) / (end - start)
                )
        found["optima"] = spread
    return found
