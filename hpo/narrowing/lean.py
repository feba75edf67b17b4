"""Optima that lean on the edge of a range: what a person is told, and what can be done."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hpo.narrowing.decision import AxisDecision, Decision, Side
from hpo.narrowing.evidence import edge
from hpo.narrowing.ruler import Numeric, default_limits, grown, natural
from hpo.space import Choice, Space


@dataclass(frozen=True)
class Lean:
    """A range whose optimum leans on one of its edges.

    Args:
        name: The parameter.
        axis: What was decided on it.
        side: The side that it leans on.
        limited: Whether the definition says how far it may grow.
    """

    name: str
    axis: AxisDecision
    side: Side
    limited: bool

    @property
    def end(self) -> str:
        """The edge, as the screens write it."""
        return edge(self._old, self.side)

    @property
    def blocked(self) -> bool:
        """Whether `narrow` cannot move this side, because a limit is reached."""
        new = self.axis.new
        assert new is not None
        assert not isinstance(new, Choice)
        return not (new.low < self._old.low or new.high > self._old.high)

    @property
    def outermost(self) -> bool:
        """Whether nothing can lie beyond the edge, as below a dropout of 0, or [limits] says so."""
        old = self._old
        return self.blocked and (self.limited or natural(old, self.side, (old.low, old.high)))

    @property
    def by_hand(self) -> str:
        """The option of `narrow` that moves this side outward, as if it had no limits yet."""
        limits = default_limits(Space({self.name: self._old}))[self.name]
        return f"--range {by_hand(self.name, grown(self._old, self._old, self.side, limits))}"

    @property
    def sentence(self) -> str:
        """What a person is told."""
        share = 100 * self.axis.numbers["edges"][self.side]
        told = (
            f"with a probability of {share:.0f} % the optimum of {self.name} lies at its "
            f"{self.side} edge {self.end}"
        )
        if self.outermost:
            return (
                f"{self.name} is best at its end {self.end}"
                + ", where [limits] ends" * self.limited
            )
        if not self.blocked:
            return told
        return (
            f"{told}, and `narrow` is at its limit: "
            f"[limits] {self.name} may allow more than the default does"
        )

    @property
    def _old(self) -> Numeric:
        assert not isinstance(self.axis.old, Choice)
        return self.axis.old


def leans(decision: Decision, limited: Collection[str]) -> list[Lean]:
    """Return the ranges that lean on an edge, also on one that is the outermost.

    Args:
        decision: What was decided on all ranges.
        limited: The parameters of which the definition says how far they may grow.
    """
    return [
        Lean(name, axis, side, name in limited)
        for name, axis in decision.axes.items()
        if axis.new is not None and (side := axis.numbers.get("lean")) is not None
    ]


def by_hand(name: str, axis: Numeric) -> str:
    """Return a range as `--range` takes it; an end that stays must be told to its last digit."""
    return f"{name}={axis.low:.12g}:{axis.high:.12g}"
