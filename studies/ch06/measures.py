"""Numbers from the frames of a comparison: a row per replicate, a column per contender.

Replicates of one seed began with the same weights and saw the same batches, so contenders are
compared within a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


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
    rows = trials.assign(measured=trials["trial"].map(values), contender=names)
    return rows.pivot(index="seed", columns="contender", values="measured")[list(names.unique())]


def spread(values: pd.Series[float], digits: int = 3) -> str:
    """Return the mean of replicates and the range that they fill, as text."""
    if len(values) == 1:
        return f"{values.iloc[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ({values.min():.{digits}f} … {values.max():.{digits}f})"


def spreads(table: pd.DataFrame, digits: int = 3) -> str:
    """Return the spread of each contender, as text."""
    return ", ".join(f"{name} {spread(table[name], digits)}" for name in table)
