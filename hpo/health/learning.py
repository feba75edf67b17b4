"""Checks of the learning curves of the best trials of the last search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

from hpo.health.case import Case, Curve
from hpo.health.verdict import Verdict
from hpo.objective import is_loss

_LEAST_TRIALS = 3
_LEAST_STEPS = 5

_STILL_MOVING = 0.02
"""Of all that was learnt, in the last fifth of the steps. What closes in on its end exponentially
gains less if it has at most a quarter of the steps as time constant. That such trials should be
longer, and those that got worse be regularized, is the advice of the Deep Learning Tuning Playbook
(Godbole et al. 2023, "Examining the training curves"); the number is ours."""

_SURE = {3: 4.30, 4: 3.18, 5: 2.78}
"""Standard errors by which a mean of so many trials differs from 0 by luck, at 95 % (Student's t).
By their mean alone, curves that only shake would seem to move every other time."""

_FAR = 0.1
"""Chosen by us: ten points of accuracy."""


def curves(case: Case) -> Verdict | None:
    """Whether the best trials still improve at the end, or get worse."""
    metric = case.study.definition.metric
    sign = 1.0 if case.study.definition.direction == "maximize" else -1.0
    scores = [[sign * value for value in _values(curve, metric)] for curve in case.curves.values()]
    scores = [each for each in scores if len(each) >= _LEAST_STEPS and min(each) < max(each)]
    if len(scores) < _LEAST_TRIALS:
        return None
    gains = [_late(each) for each in scores]
    shares = [gain / (max(each) - min(each)) for gain, each in zip(gains, scores, strict=True)]
    gain, share = fmean(gains), median(shares)
    steps = max(map(len, scores))
    fifth = steps // 5
    part = f"over the {f'{fifth} steps' if fifth > 1 else 'step'} before the last of {steps}"
    which = f"{metric} of the best {len(scores)} trials"
    steady = abs(gain) > _SURE[len(gains)] * stdev(gains) / math.sqrt(len(gains))
    if not steady or abs(share) < _STILL_MOVING:
        return Verdict("curves", "pass", f"{which} has settled: {sign * gain:+.2g} {part}")
    if gain < 0:
        return Verdict(
            "curves",
            "warn",
            f"{which} gets worse: {sign * gain:+.2g} {part}",
            "Train for fewer steps, or search what regularizes: weight_decay, dropout",
        )
    epochs = (case.study.definition.fixed or {}).get("epochs")
    longer = "Train longer in the next study"
    if isinstance(epochs, int):
        longer = case.start({"epochs": 2 * epochs})
    return Verdict("curves", "warn", f"{which} still improves: {sign * gain:+.2g} {part}", longer)


def overfit(case: Case) -> Verdict | None:
    """Whether the best trials know their training examples much better than the others."""
    metric = case.study.definition.metric
    if not metric.startswith("val_") or is_loss(metric):
        return None
    twin = f"train_{metric.removeprefix('val_')}"
    pairs = [
        (training[-1], validation[-1])
        for curve in case.curves.values()
        if (training := _values(curve, twin)) and (validation := _values(curve, metric))
    ]
    if not pairs or not all(0 <= value <= 1 for pair in pairs for value in pair):
        return None
    known, unknown = (fmean(values) for values in zip(*pairs, strict=True))
    message = f"{twin} {known:.3g}, {metric} {unknown:.3g}: mean of the best {len(pairs)}"
    sign = 1.0 if case.study.definition.direction == "maximize" else -1.0
    if sign * (known - unknown) <= _FAR:
        return Verdict("overfit", "pass", message)
    return Verdict(
        "overfit",
        "warn",
        message,
        "More training examples help, or wider ranges of what regularizes: weight_decay, dropout",
    )


def _values(curve: Curve, metric: str) -> list[float]:
    found = (step.get(metric, math.nan) for step in curve)
    return [value for value in found if math.isfinite(value)]


def _late(scores: Sequence[float]) -> float:
    """Return by how much the mean of the last fifth exceeds that of the fifth before.

    Without the last step: by its score the best trials were chosen, so that it is a lucky one. With
    it, the best five of 60 curves that only shake "still improve" in 65 % of simulated studies of 5
    steps, and in 11 % of those of 50; without it, in 2 %. Where luck lasts over many steps, it is
    up to 20 % all the same.
    """
    part = len(scores) // 5
    return fmean(scores[-part - 1 : -1]) - fmean(scores[-2 * part - 1 : -part - 1])
