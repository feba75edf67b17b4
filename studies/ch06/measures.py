"""Numbers from the frames of a comparison: a row per replicate, a column per contender.

Replicates of one seed began with the same weights and saw the same batches, so contenders are
compared within a row. "Ahead with every seed" is a sign test: of five pairs chance passes 1 in 32.

A replicate that diverged, failed or was given up has no number (NaN): it is ahead of nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def first_stage(
    hook: Callable[[pd.DataFrame, pd.DataFrame], T],
) -> Callable[[pd.DataFrame, pd.DataFrame], T]:
    """Let a finding or a figure see the first stage alone: trials of a later one have its numbers.

    A comparison is made by one stage; somebody may narrow it all the same. Where it has no result
    at all, this is said in place of calling them.
    """

    @wraps(hook)
    def seen(trials: pd.DataFrame, curves: pd.DataFrame) -> T:
        first = trials[trials["stage"] == 1]
        refuse_without_result(first)
        return hook(first, curves[curves["stage"] == 1])

    return seen


def refuse_without_result(trials: pd.DataFrame) -> None:
    """Raise where no trial was trained to its end, for then there is nothing to compare."""
    if not complete(trials).any():
        raise ValueError(f"none of the {len(trials)} trials was trained to its end")


def at_end(
    trials: pd.DataFrame, curves: pd.DataFrame, metric: str, contender: str, *, last: int = 1
) -> pd.DataFrame:
    """Return where curves end.

    Args:
        trials: The study's trials.
        curves: Their steps.
        metric: A reported metric.
        contender: The parameter that tells the contenders apart.
        last: The mean is taken of so many last values.

    Returns:
        Rows by seed, columns by contender, as text, in the order of the trials.
    """
    reported = curves.dropna(subset=[metric])
    ends = reported.groupby("trial")[metric].apply(lambda curve: curve.tail(last).mean())
    return _by_seed(trials, ends, contender)


def average(
    trials: pd.DataFrame, curves: pd.DataFrame, metric: str, contender: str
) -> pd.DataFrame:
    """Return the means of whole curves, as `at_end` returns their ends."""
    return _by_seed(trials, curves.groupby("trial")[metric].mean(), contender)


def _by_seed(trials: pd.DataFrame, values: pd.Series[float], contender: str) -> pd.DataFrame:
    names = trials[f"params_{contender}"].map(str)
    measured = trials["trial"].map(values).where(complete(trials))
    rows = trials.assign(measured=measured, contender=names)
    return rows.pivot(index="seed", columns="contender", values="measured")[list(names.unique())]


def complete(trials: pd.DataFrame) -> pd.Series[bool]:
    """Return which trials were trained to their end."""
    return (trials["state"] == "COMPLETE") & ~trials["diverged"]


def spread(values: pd.Series[float], digits: int = 3) -> str:
    """Return the mean of replicates and the range that they fill, as text."""
    known = values.dropna()
    missing = f"{len(values) - len(known)} of {len(values)} without a result"
    if known.empty:
        return missing
    shown = _number(known.mean(), digits)
    if len(known) > 1:
        shown += f" ({_number(known.min(), digits)} … {_number(known.max(), digits)})"
    return shown if len(known) == len(values) else f"{shown}, {missing}"


def _number(value: float, digits: int) -> str:
    # A loss may be of any size before it overflows. z: no -0.000.
    return f"{value:z.{digits}f}" if abs(value) < 1e6 else f"{value:.2e}"


def spreads(table: pd.DataFrame, digits: int = 3) -> str:
    """Return the spread of each contender, as text."""
    return ", ".join(f"{name} {spread(table[name], digits)}" for name in table)
