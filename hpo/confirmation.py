"""What the replicates of a few settings tell: means, intervals, and which settings differ.

The winner of several settings looks better than it is, so that its plain t-interval covers its
true mean too rarely (88-91 % of the time among five alike). These intervals are simultaneous: with
95 % they all cover at once, and so does that of whichever setting is picked.

Each is a t-interval from the setting's own spread, for settings near the edge of stability vary
more than others. Only the level is common. If the settings' scores were independent it would be
Bonferroni's, nearly; but they share their seeds, and what they share moves all intervals together.
The level is therefore the 5 % quantile of the smallest of the p-values in draws from normal
distributions with the correlation that the scores have. Whether a setting differs from the best is
told by the differences seed by seed, in which the common part cancels, at a level from the same
draws: there, too, the best is picked first and compared with all others. benchmarks/confirm.py
shows how often all this holds.

An accuracy on 100 examples is a whole number of hundredths: five replicates may well agree by
rounding alone, and their spread of 0 would claim certainty. The variance of rounding, h²/12 for
steps of h (Sheppard, Proc. London Math. Soc. 29, 1898), is therefore added. And n that agree leave
it open that another gives the next value with a probability of up to 1 - (α/2)^(1/n), the exact
limit after none of n (Clopper and Pearson, Biometrika 26, 1934): their mean can be off by that
share of a step. Where no step is known, replicates that agree have no interval, and two settings of
which all replicates agree are not told apart.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95

_DRAWS = 20_000
_AT_ONCE = 2_000_000
"""Numbers in memory at the same time."""

_Array = NDArray[np.float64]
_Mask = NDArray[np.bool_]
_Pattern = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True)
class Interval:
    """What the replicates of one setting tell.

    Args:
        mean: Mean of the scores.
        se: Its standard error; None where nothing tells it: for a single score, and for equal
            ones that could have any value.
        low: Lower end of the simultaneous interval, likewise.
        high: Upper end.
        tied: Whether the setting cannot be told apart from the first.
    """

    mean: float
    se: float | None
    low: float | None
    high: float | None
    tied: bool

    def within(self, lowest: float, highest: float) -> Interval:
        """Return it without what no mean can be."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, lowest), high=min(self.high, highest))


def intervals(scores: Sequence[Sequence[float | None]], step: float = 0.0) -> list[Interval]:
    """Return the simultaneous intervals of some settings' means.

    Args:
        scores: For each setting, the best first, a score per seed, the same seeds for all; None
            where the replicate gave none. Each setting has at least one score.
        step: Distance of the values that a score can have; 0 where it can have any.
    """
    x = np.array([[math.nan if s is None else s for s in row] for row in scores], dtype=float)
    there = np.isfinite(x)
    pattern = tuple(tuple(bool(each) for each in row) for row in there)
    n = there.sum(-1)
    rounding = step**2 / 12
    mean, se = _moments(x, there)
    level = _level_of_means(pattern, _correlation(x, there))
    half = stdtrit(n - 1, 1 - level / 2) * np.sqrt(se**2 + rounding / n)
    agree = _agree(x, there)
    half = np.where(agree, np.maximum(half, step * (1 - (level / 2) ** (1 / n))), half)
    known = (n > 1) & (~agree | (step > 0))
    se = np.maximum(se, np.sqrt(rounding / n))
    tied = [True, *(_with_first(x, there, rounding) >= _level_of_differences(pattern))]
    return [
        Interval(float(m), float(e), float(m - h), float(m + h), bool(alike))
        if tells
        else Interval(float(m), None, None, None, bool(alike))
        for m, e, h, tells, alike in zip(mean, se, half, known, tied, strict=True)
    ]


def _with_first(x: _Array, there: _Mask, rounding: float) -> _Array:
    """Return how unlikely the difference of each other setting from the first is by chance.

    Differences that agree do not say how far they spread: no further than the two settings do by
    themselves. Where these agree as well and nothing was rounded, it is not known, and p is 1.
    """
    difference, both = x[0] - x[1:], there[0] & there[1:]
    if rounding:
        return _p_values(difference, both, 2 * rounding)
    agree = _agree(difference, both, np.abs(x[there]).max())
    own = (_moments(x[0], both)[1] ** 2 + _moments(x[1:], both)[1] ** 2) * both.sum(-1)
    p = _p_values(difference, both, np.where(agree, own, 0.0))
    return np.where(agree & _agree(x[1:], both), 1.0, p)


def _agree(x: _Array, there: _Mask, largest: float = 0.0) -> _Mask:
    """Return in which rows all that is there is equal, but for the last bits of the largest."""
    highest = np.where(there, x, -np.inf).max(-1)
    lowest = np.where(there, x, np.inf).min(-1)
    same: _Mask = highest - lowest <= 8 * np.finfo(float).eps * largest
    return same


def _moments(x: _Array, there: _Mask) -> tuple[_Array, _Array]:
    """Return the mean of each row and its standard error, of what is there."""
    n = there.sum(-1)
    mean = np.where(there, x, 0.0).sum(-1) / np.maximum(n, 1)
    squares = (np.where(there, x - mean[..., None], 0.0) ** 2).sum(-1)
    return mean, np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1))


def _p_values(x: _Array, there: _Mask, more_variance: float | _Array = 0.0) -> _Array:
    """Return how unlikely each row is if its true mean is 0, by the t-test; 1 for one value."""
    n = there.sum(-1)
    mean, se = _moments(x, there)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(se**2 + more_variance / n)
        t = np.where(mean == 0, 0.0, np.abs(mean) / se)
    p: _Array = np.where(n > 1, 2 * stdtr(np.maximum(n - 1, 1), -t), 1.0)
    return p


def _correlation(x: _Array, there: _Mask) -> float:
    """Return the mean correlation of two settings over their common seeds, in hundredths from 0."""
    found = []
    for i, j in itertools.combinations(range(len(x)), 2):
        both = there[i] & there[j]
        if both.sum() > 2 and np.ptp(x[i][both]) > 0 and np.ptp(x[j][both]) > 0:
            found.append(np.corrcoef(x[i][both], x[j][both])[0, 1])
    return round(max(float(np.mean(found)), 0.0), 2) if found else 0.0


@functools.cache
def _level_of_means(pattern: _Pattern, correlation: float) -> float:
    """Return the level at which no interval of all misses its mean, with the confidence asked."""
    if len(pattern) == 1:
        return 1 - CONFIDENCE
    there = np.array(pattern)
    return _quantile(
        _p_values(math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own, there).min(-1)
        for common, own in _draws(there)
    )


@functools.cache
def _level_of_differences(pattern: _Pattern) -> float:
    """Return the level at which the best of settings that are all alike differs from none."""
    there = np.array(pattern)
    return _quantile(_least_difference(own, there) for _, own in _draws(there))


def _least_difference(x: _Array, there: _Mask) -> _Array:
    """Return the smallest p-value of the differences between the best setting and the others."""
    draws = np.arange(len(x))
    best = _moments(x, there)[0].argmax(-1)
    both = there[best][:, None] & there
    both[draws, best] = False  # with itself nothing is compared
    p: _Array = _p_values(x[draws, best][:, None] - x, both).min(-1)
    return p


def _quantile(smallest: Iterator[_Array]) -> float:
    return float(np.quantile(np.concatenate(list(smallest)), 1 - CONFIDENCE))


def _draws(there: _Mask) -> Iterator[tuple[_Array, _Array]]:
    """Draw what the settings share, `(n, 1, r)`, and what they do not, `(n, k, r)`, in blocks.

    The same at every call: a table must not change because it is looked at again.
    """
    generator = np.random.default_rng(0)
    settings, seeds = there.shape
    block = min(_DRAWS, max(_AT_ONCE // there.size, 1))
    for first in range(0, _DRAWS, block):
        size = min(block, _DRAWS - first)
        common = generator.standard_normal((size, 1, seeds))
        yield common, generator.standard_normal((size, settings, seeds))
