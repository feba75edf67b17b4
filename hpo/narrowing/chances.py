"""The probability that the edge test rests on, in plain Python."""

from __future__ import annotations

import math

LEVEL = 0.05  # of every test: what chance does in one of twenty cases is no evidence


def at_least(x: int, k: int, p: float) -> float:
    """Return P(X ≥ x) of a binomial X of k draws with probability p."""
    return sum(math.comb(k, j) * p**j * (1 - p) ** (k - j) for j in range(x, k + 1))
