"""The words of narrowing: settings of a rule, and what it decided, with the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hpo.errors import UsageError
from hpo.space import Axis, Choice, Scalar, Space

Action = Literal["narrow", "keep", "widen"]
Side = Literal["lower", "upper"]
RuleName = Literal["posterior", "book"]


@dataclass(frozen=True)
class Rule:
    """Which rule decides, and its settings.

    Args:
        name: "posterior": keep where the optimum can be; "book": the box of the best settings.
        top: How many settings are the book's best; None for 5. The posterior looks at all.
        widen: Whether a range may grow where the optimum is probably beyond its edge.

    Raises:
        UsageError: There is no such rule, or `top` is not for it.
    """

    name: RuleName = "posterior"
    top: int | None = None
    widen: bool = True

    def __post_init__(self) -> None:
        names = get_args(RuleName)
        if self.name not in names:
            raise UsageError(f"rule {self.name!r}: there are {' and '.join(names)}")
        if self.top is not None and self.name != "book":
            raise UsageError(
                f"top {self.top}: only the rule 'book' looks at the best alone. "
                f"Add --rule book, or leave out --top"
            )
        if self.top is not None and self.top < 2:
            raise UsageError(f"top {self.top}: the spread of the best needs at least 2 of them")


DEFAULT_RULE = Rule()

MATTERS = 0.1
"""Part of the scores' standard deviation that a half of a range is worth where it matters."""

NOTHING_LEARNS = "nothing learns here"
"""Why every range of a box is treated alike: all its results are those of guessing."""

BELOW_NOISE = "differences are below the noise"
"""Likewise: its results are better than guessing, but alike."""


@dataclass(frozen=True)
class AxisDecision:
    """What becomes of one parameter.

    Args:
        action: "widen" if any side grows, else "narrow" if any is cut, else "keep".
        old: The axis as it was searched.
        new: The axis of the next stage; None if the parameter cannot occur any more, because
            every choice that it depends on was dropped.
        reason: One short phrase for a person.
        numbers: The evidence, ready for JSON.
    """

    action: Action
    old: Axis
    new: Axis | None
    reason: str
    numbers: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the decision as it is stored and printed."""
        return {
            "action": self.action,
            "old": _ends(self.old),
            "new": None if self.new is None else _ends(self.new),
            "reason": self.reason,
            "numbers": dict(self.numbers),
        }


@dataclass(frozen=True)
class Decision:
    """What becomes of a space.

    Args:
        axes: The decision on each parameter of the old space, in its order.
        space: The space of the next stage.
        warnings: Sentences that a person should read.
        rule: Name of the rule that decided.
        trials: Number of trials that it used; with replicates, of settings.
        elites: (stage, number) of the trials whose settings had to stay inside, best first; with
            replicates, of the first one of each setting.
        sampler: The sampler that suits the next stage.
        gain: How much better than the best setting so far another one inside the old ranges can be
            expected to be, at most; None if it was not asked.
        stop: Why another stage is not worth its trials; None if it may be.
    """

    axes: Mapping[str, AxisDecision]
    space: Space
    warnings: tuple[str, ...]
    rule: str
    trials: int
    elites: tuple[tuple[int, int], ...]
    sampler: str
    gain: float | None = None
    stop: str | None = None

    @property
    def changed(self) -> bool:
        """Whether any parameter is narrowed or widened."""
        return any(axis.action != "keep" for axis in self.axes.values())

    @property
    def grows(self) -> bool:
        """Whether any range is widened."""
        return any(axis.action == "widen" for axis in self.axes.values())

    def to_json(self) -> dict[str, Any]:
        """Return the decision as it is stored as evidence of the stage it created."""
        return {
            "rule": self.rule,
            "trials": self.trials,
            "elites": [list(elite) for elite in self.elites],
            "sampler": self.sampler,
            "gain": self.gain,
            "axes": {name: axis.to_json() for name, axis in self.axes.items()},
            "warnings": list(self.warnings),
        }


def compared(old: Axis, new: Axis, reason: str, numbers: Mapping[str, Any]) -> AxisDecision:
    """Return the decision for a new axis, its action read off the two."""
    action: Action = "narrow"
    if new == old:
        action = "keep"
    elif not isinstance(old, Choice) and not isinstance(new, Choice):
        action = "widen" if new.low < old.low or new.high > old.high else "narrow"
    return AxisDecision(action, old, new, reason, numbers)


def _ends(axis: Axis) -> list[Scalar]:
    return list(axis.choices) if isinstance(axis, Choice) else [axis.low, axis.high]
