"""The probabilities that the rule rests on; each solved in plain Python, for k up to some tens."""

from __future__ import annotations

import math
from collections.abc import Callable

_LOSS = 0.02  # share of steps that may lose the optimum, all axes together
LEVEL = 0.05  # of every test: what chance does in one of twenty cases is no evidence


def range_point(k: int) -> float:
    """Return t with P(range of k uniform numbers ≤ t) = k t^(k−1) − (k−1) t^k = 5 %.

    From the joint density k(k−1)(M−m)^(k−2) of the extremes; rises in t, so bisection finds it.
    """
    return _root(lambda t: k * t ** (k - 1) - (k - 1) * t**k - LEVEL)


def padding(k: int, d: int) -> float:
    """Return the padding α on each side, as a share of the range of the best.

    The best scatter evenly around an optimum inside the box: all k are on one side of it with
    2·2^−k, and then their nearest is further from it than α times their range with
    (1+α)^−(k−1), a ratio of uniform order statistics. Their product, summed over d axes, is 2 %.
    At least r/(k−1), the mean distance of k uniform numbers' extremes from the ends.
    """
    return max(math.pow(2 * d * 2.0**-k / _LOSS, 1 / (k - 1)) - 1, 1 / (k - 1))


def at_least(x: int, k: int, p: float) -> float:
    """Return P(X ≥ x) of a binomial X of k draws with probability p."""
    return sum(math.comb(k, j) * p**j * (1 - p) ** (k - j) for j in range(x, k + 1))


def upper_bound(x: int, k: int) -> float:
    """Return the upper 95 % bound of a share that was found x times in k (Clopper–Pearson)."""
    return 1.0 if x == k else _root(lambda p: at_least(x + 1, k, p) - (1 - LEVEL))


def _root(rising: Callable[[float], float]) -> float:
    """Return where a rising function crosses zero in [0, 1], to the last bits."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return high
