"""The seam: which parameters the rule may decide on, and the space that follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo.errors import DefinitionError, NotEnoughTrials
from hpo.narrowing import book
from hpo.narrowing.decision import (
    DEFAULT_RULE,
    NOTHING_LEARNS,
    AxisDecision,
    Decision,
    Rule,
    compared,
)
from hpo.narrowing.evidence import Evidence
from hpo.narrowing.failures import Ground
from hpo.narrowing.ruler import text, with_ends
from hpo.space import Axis, Choice, Int, Space
from hpo.trial import Trial

if TYPE_CHECKING:
    from numpy.random import Generator


def decide(
    space: Space,
    trials: Sequence[Trial],
    *,
    direction: str,
    limits: Mapping[str, tuple[float, float]],
    rng: Generator,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    rule: Rule = DEFAULT_RULE,
    noise: float | None = None,
    chance: float | None = None,
    keep: Sequence[Trial] = (),
    replicates: int = 1,
) -> Decision:
    """Decide how the ranges of the next stage differ from those of this one.

    Args:
        space: The space that was searched.
        trials: The evidence, of this stage and its ancestors, from any sampler. Used are those
            inside the space that are COMPLETE, diverged ones included, or PRUNED with a value; and
            all that failed, where they show that a range ends, see `failures`.
        direction: "maximize" or "minimize".
        limits: How far each range may grow; a parameter that is not named does not grow.
        rng: The source of all chance: the same state decides the same.
        ranges: Ranges set by hand; they take the place of the rule's.
        rule: Which rule, and its settings.
        noise: Standard deviation of a single result; None if it is not known.
        chance: The value that guessing reaches; None if it is not known.
        keep: Settings that stay inside the posterior's ranges, beside the one with the best
            result: the recommended one, and those that were confirmed.
        replicates: Number R of replicates of each setting, the same in all these stages: trial n
            of a stage belongs to its setting n // R. What counts as a trial is then a setting,
            with the mean of its replicates' values.

    Raises:
        NotEnoughTrials: Fewer than `needed` usable settings, and no range was set by hand, nor ends
            where failures show it.
        DefinitionError: A range set by hand cannot be used.
    """
    by_hand = {name: _by_hand(space, name, ends) for name, ends in (ranges or {}).items()}
    ground = Ground.of(space, trials, direction, replicates, keep, by_hand)
    evidence = ground.evidence
    decisions: dict[str, AxisDecision] = {}
    warnings: list[str] = []
    gain = stop = None
    for name, axis in by_hand.items():
        decisions[name] = compared(space[name], axis, "set by hand", {})
        warnings += _left_out(name, axis, evidence, keep)
    rest = [name for name in space if name not in by_hand]
    if len(evidence.usable) < evidence.needed:
        if not by_hand and not ground.enough:
            raise NotEnoughTrials(len(evidence.usable), evidence.needed, evidence.parameters)
        what = "trials" if replicates == 1 else "settings"
        excuse = (
            f"{len(evidence.usable)} {what} are too few to decide, {evidence.needed} are needed"
        )
        for name in rest:
            axis = ground.space[name]
            why = f"{len(evidence.usable)} {what} are too few to say more"
            decisions[name] = compared(axis, axis, excuse if axis == space[name] else why, {})
    else:
        needed_choices = [
            (parent, value)
            for axis in by_hand.values()
            for parent, values in (axis.when or {}).items()
            for value in values
        ]
        if rule.name == "book":
            decisions |= book.decide(evidence, rest, rule.top, needed_choices)
        else:
            # NumPy and SciPy take their time to start.
            from hpo.narrowing import posterior

            settings = [trial.params for trial in keep]
            question = posterior.Question(
                rest,
                ground.limits(limits),
                noise,
                chance,
                settings,
                needed_choices,
                {name: ground.failing(name) for name in rest},
            )
            answer = posterior.decide(evidence, question, rule, rng)
            decisions |= answer.axes
            warnings += answer.warnings
            gain, stop = answer.gain, answer.stop
    decisions |= {name: ground.told(name, decisions[name]) for name in rest}
    decisions, new_space = _fit_conditions(space, decisions)
    elites = evidence.winners[: (rule.top or book.TOP) if rule.name == "book" else 1]
    kept = () if rule.name == "book" else keep
    # TPE follows a slope over the edge that it leads to: benchmarks/search.py. Of ground that a
    # person has added, or was added because nothing learns, the trials say nothing. The book draws
    # at random.
    unknown = any(
        decision.action == "widen" and (name in by_hand or decision.reason == NOTHING_LEARNS)
        for name, decision in decisions.items()
    )
    if by_hand or rule.name == "book":
        # They say nothing of what is left to gain inside ranges that stay as they are.
        stop = _unchanged(decisions)
    return Decision(
        axes=decisions,
        space=new_space,
        warnings=tuple(warnings),
        rule=rule.name,
        trials=len(evidence.usable),
        elites=tuple(dict.fromkeys((t.stage, t.number) for t in (*elites, *kept))),
        sampler="random" if unknown or rule.name == "book" else "tpe",
        gain=gain,
        stop=stop,
    )


def _left_out(name: str, new: Axis, evidence: Evidence, keep: Sequence[Trial]) -> list[str]:
    """Return a warning for each setting to keep that a range set by hand leaves out."""
    if isinstance(new, Choice):
        return []
    what = "that is recommended or confirmed" if keep else "of the best result"
    values = [t.params[name] for t in keep or evidence.winners[:1] if name in t.params]
    return [
        f"The range of {name} leaves out {text(new, value)}, of the setting {what}."
        for value in dict.fromkeys(values)
        if not new.contains(value)
    ]


def _unchanged(decisions: Mapping[str, AxisDecision]) -> str | None:
    """Return why no parameter is narrowed or widened, None if one is."""
    if any(decision.action != "keep" for decision in decisions.values()):
        return None
    reasons = {decision.reason for decision in decisions.values()}
    return "nothing to cut or widen: " + "; ".join(sorted(reasons))


def _by_hand(space: Space, name: str, ends: tuple[float, float]) -> Axis:
    """Return the axis with a range set by hand."""
    numeric = [n for n, axis in space.axes.items() if not isinstance(axis, Choice)]
    if name not in numeric:
        what = "has choices, not a range" if name in space.axes else "is not a parameter"
        raise DefinitionError(
            f"--range {name}: {name!r} {what}; parameters with a range are "
            f"{', '.join(numeric) or 'none'}"
        )
    axis, (low, high) = space[name], ends
    where = f"--range {name}={low!r}:{high!r}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DefinitionError(f"{where}: both ends must be finite numbers")
    if low >= high:
        raise DefinitionError(f"{where}: low ({low!r}) is not below high ({high!r})")
    assert not isinstance(axis, Choice)
    if axis.log and low <= 0:
        raise DefinitionError(f"{where}: low ({low!r}) must be above 0 on a log axis")
    if axis.step is not None and axis.step > high - low:
        raise DefinitionError(f"{where}: the step ({axis.step!r}) is larger than the range")
    if isinstance(axis, Int) and (low != int(low) or high != int(high)):
        raise DefinitionError(f"{where}: {name} takes whole numbers only")
    return with_ends(axis, low, high)


def _fit_conditions(
    space: Space, decisions: Mapping[str, AxisDecision]
) -> tuple[dict[str, AxisDecision], Space]:
    """Take dropped choices out of the conditions, and parameters that cannot occur any more."""
    fitted: dict[str, AxisDecision] = {}
    remaining: dict[str, Axis] = {}
    for name in space.parents_first():
        decision, axis = decisions[name], decisions[name].new
        when = {
            parent: tuple(
                v for v in values if parent in remaining and remaining[parent].contains(v)
            )
            for parent, values in (space[name].when or {}).items()
        }
        lost = [parent for parent, values in when.items() if not values]
        if lost:
            reason = f"it needs a choice of {lost[0]} that was dropped"
            fitted[name] = replace(decision, action="narrow", new=None, reason=reason)
            continue
        assert axis is not None
        remaining[name] = replace(axis, when=when) if when else axis
        fitted[name] = replace(decision, new=remaining[name])
    return (
        {name: fitted[name] for name in space},
        Space({name: remaining[name] for name in space if name in remaining}),
    )
