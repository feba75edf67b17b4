"""Searches that cannot be narrowed because their trials failed or diverged, and what helps then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hpo import tracebacks
from hpo.narrowing.lean import by_hand
from hpo.narrowing.ruler import Numeric, default_limits, grown, with_ends
from hpo.space import Choice, Space
from hpo.study import Stage, Study
from hpo.trial import Trial, TrialState

MOSTLY_FAILED = 0.5
"""A bug or a wrong range rather than bad luck: as where half of a setting's replicates diverge."""

_RATES = ("lr", "learning_rate")  # mostly what is too large where training diverges


@dataclass(frozen=True)
class Setback:
    """Why a stage cannot be narrowed.

    Args:
        told: What happened, as a sentence without its full stop.
        command: The `hpo` command that helps, without `hpo`.
    """

    told: str
    command: str


def nothing_scored(
    study: Study, stage: Stage, own: Iterable[Trial], seen: Iterable[Trial]
) -> Setback | None:
    """Return why no trial has a score of its own, None if one has or none has ended.

    Args:
        study: The study.
        stage: The stage.
        own: Its trials.
        seen: Those that `narrow` may look at.
    """
    counted = [trial for trial in own if trial.state.counted]
    if not counted or any(t.value is not None and not t.diverged for t in seen):
        return None
    all_of_them = f"all {len(counted)} trials of stage {stage.number}"
    if all(trial.diverged for trial in counted):
        cure = after_divergence(stage.space, study.definition.space)
        if cure is None:
            told = f"{all_of_them} diverged. {to_mend(stage.space)}. Look at what there is"
            return Setback(told, f"show {study.id}")
        why, option = cure
        return Setback(f"{all_of_them} diverged. {why}", _narrow(study, stage, option))
    if all(trial.state is TrialState.FAIL for trial in counted) and (error := _first(counted)):
        return Setback(
            f"{all_of_them} failed. The first error: {error}. See where it comes from",
            f"show {study.id} --debug",
        )
    return None


def mostly_failed(
    study: Study, stage: Stage, own: Iterable[Trial], seen: Iterable[Trial]
) -> Setback | None:
    """Return what helps where most trials failed, and all the others have values apart from theirs.

    Args:
        study: The study.
        stage: The stage.
        own: Its trials.
        seen: Those that `narrow` may look at.
    """
    counted = [trial for trial in own if trial.state.counted]
    failed = [trial for trial in counted if trial.reason == "error"]
    error = _first(failed)
    if error is None or len(failed) < MOSTLY_FAILED * len(counted):
        return None
    option = _where_trials_succeed(stage.space, failed, seen)
    if option is None:
        return None
    told = (
        f"{len(failed)} of {len(counted)} trials of stage {stage.number} failed, "
        f"and more would, too. The first error: {error}. Search where trials succeeded"
    )
    return Setback(told, _narrow(study, stage, option))


def after_divergence(space: Space, first: Space) -> tuple[str, str] | None:
    """Return what to try where every trial diverged, with the option of `narrow` for it.

    Of a learning rate its lower half, then what lies below; None where that diverged too, or no
    parameter has a range.

    Args:
        space: The space that diverged.
        first: The one that the study began with.
    """
    ranges = {n: axis for n, axis in space.axes.items() if not isinstance(axis, Choice)}
    for name in _RATES:
        if name not in ranges:
            continue
        axis, begun = ranges[name], first[name]
        assert not isinstance(begun, Choice)
        what, lower = "the lower half of", _lower_half(axis)
        if axis.high < begun.high or lower == axis:
            what, lower = "below the old range of", _below(axis)
        if axis.low < begun.low or lower == axis:
            return None
        why = f"Mostly the cause is too large a learning rate; {what} {name}"
        return why, f"--range {by_hand(name, lower)}"
    for name, axis in ranges.items():
        return "Give another range than the old one", f"--range {by_hand(name, axis)}"
    return None


def to_mend(space: Space) -> str:
    """Return what to mend where every trial diverged and no other range is left to try."""
    if all(isinstance(axis, Choice) for axis in space.axes.values()):
        return "Mend what all choices share: the training itself, or a value in [fixed]"
    return "Mend the training: smaller learning rates diverge, too"


def _narrow(study: Study, stage: Stage, option: str) -> str:
    return f"narrow {study.id} --from-stage {stage.number} {option}"


def _first(failed: Iterable[Trial]) -> str | None:
    """Return the exception of the first trial that raised one."""
    return next((tracebacks.said(t.error) for t in failed if t.error and t.reason == "error"), None)


def _lower_half(axis: Numeric) -> Numeric:
    middle = axis.from_unit(0.5)
    if not axis.discrete and axis.low < (short := float(f"{middle:.2g}")) < axis.high:
        middle = short
    return with_ends(axis, axis.low, middle) if middle > axis.low else axis


def _below(axis: Numeric) -> Numeric:
    further = grown(axis, axis, "lower", default_limits(Space({"x": axis}))["x"])
    return with_ends(axis, further.low, axis.low) if further.low < axis.low else axis


def _where_trials_succeed(
    space: Space, failed: Sequence[Trial], seen: Iterable[Trial]
) -> str | None:
    """Return the range with values of which trials succeed, if most failures lie outside of it."""
    sound = [trial for trial in seen if trial.value is not None and not trial.diverged]
    options: list[tuple[int, str]] = []
    for name, axis in space.axes.items():
        values = [trial.params[name] for trial in sound if name in trial.params]
        if isinstance(axis, Choice) or not values or min(values) == max(values):
            continue
        low, high = min(values), max(values)
        there = [trial.params[name] for trial in failed if name in trial.params]
        outside = sum(not low <= value <= high for value in there)
        if outside >= MOSTLY_FAILED * len(failed):
            if not axis.discrete:
                low, high = _short(low), _short(high)
            # An end stays where nothing failed beyond it.
            low = low if min(there) < low else axis.low
            high = high if max(there) > high else axis.high
            options.append((outside, f"--range {by_hand(name, with_ends(axis, low, high))}"))
    return max(options, key=lambda option: option[0], default=(0, None))[1]


def _short(value: float) -> float:
    return float(f"{value:.3g}")
