"""A Gaussian process over settings: what scores to expect where nothing was tried.

Matérn-5/2 with one length per column, its parameters at the maximum of their posterior (MAP).
Rows are positions in the unit box, see `Positions`; scores are "higher is better". Lengths have a
prior because a few tens of noisy scores cannot tell an idle axis from a restless one.

Scores far below the median are lifted to a floor: how deep a cliff is must not bend the top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_STEPS = 25
_LEARNT_FROM = 400  # rows that its parameters are learnt from: the time is cubic in them
_MOST = 2000  # rows that it conditions on
_AT_ONCE = 2000  # rows that are asked about at the same time: memory grows with their number
_EVEN = 1000  # points at which is asked what scores are common
_LARGEST = 1e150
_JITTER = 1e-8  # keeps a covariance of equal rows positive

# Logarithms of the parameters are normal a priori: (centre, standard deviation).
_LENGTH = (0.35, 0.8)  # times √d: in d dimensions points are that much further apart
_AMPLITUDE = (1.0, 1.5)
_NUGGET = (0.002, 1.5)  # what the known noise does not explain
_UNKNOWN_NOISE = (0.05, 2.5)
_BOUND = 4.0  # standard deviations: further out, nothing changes any more


@dataclass(frozen=True)
class Surrogate:
    """A fitted process; see `fit`."""

    rows: Array
    categorical: Mask
    floor: float  # what lower scores were lifted to
    lengths: Array
    amplitude: float  # variance of the process, in units of `scale` squared
    nugget: float
    centre: float
    scale: float
    factor: Array  # lower Cholesky factor of the covariance of the scores
    weights: Array

    @classmethod
    def fit(
        cls,
        rows: Array,
        scores: Array,
        variances: Array | None = None,
        categorical: Mask | None = None,
    ) -> Surrogate:
        """Fit to scores.

        Above 400 rows its parameters are learnt from 400 of them, above 2,000 it knows only
        2,000: those at evenly spaced ranks of the scores, so that the choice favours none.

        Args:
            rows: One position per score.
            scores: Finite numbers, higher is better.
            variances: The noise of each score; None if it is not known.
            categorical: Columns without order: two values are equal, or a whole box apart.
        """
        if categorical is None:
            categorical = np.zeros(rows.shape[1], dtype=bool)
        chosen = _spread_over(scores, _MOST)
        rows, scores = rows[chosen], scores[chosen]
        floor = _floor(rows, scores, categorical)
        lifted = np.maximum(scores, floor)
        centre, scale = float(lifted.mean()), float(lifted.std()) or 1.0
        z = (lifted - centre) / scale
        known = variances is not None
        noise = np.zeros(len(z)) if variances is None else variances[chosen] / scale**2
        some = _spread_over(z, _LEARNT_FROM)
        theta = _learnt(rows[some], z[some], noise[some], categorical, known)
        lengths, amplitude, nugget = np.exp(theta[:-2]), math.exp(theta[-2]), math.exp(theta[-1])
        covariance = amplitude * _shape(_distances(rows, rows, categorical, lengths))
        covariance[np.diag_indices_from(covariance)] += noise + nugget
        factor = _cholesky(covariance)
        weights = _solve(factor.T, _solve(factor, z, lower=True), lower=False)
        return cls(
            rows, categorical, floor, lengths, amplitude, nugget, centre, scale, factor, weights
        )

    def mean(self, rows: Array) -> Array:
        """Return the expected score at each row."""
        blocks = (rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE))
        means = [self._covariance(block).T @ self.weights for block in blocks]
        return self.centre + self.scale * np.concatenate(means)

    def joint(self, rows: Array) -> tuple[Array, Array]:
        """Return the expected score at each row, and the covariance of what it really is."""
        across = self._covariance(rows)
        half = _solve(self.factor, across, lower=True)
        own = self.amplitude * _shape(_distances(rows, rows, self.categorical, self.lengths))
        mean = self.centre + self.scale * (across.T @ self.weights)
        return mean, self.scale**2 * (own - half.T @ half)

    def foretold(self) -> float:
        """Return the share of the differences between the scores that the other scores foretell.

        Of each score, by what is expected without it, in closed form (Rasmussen and Williams 2006,
        eq. 5.12). It is below 0 where the mean of the others would say more.
        """
        half = _solve(self.factor, np.eye(len(self.weights)), lower=True)
        missed = self.weights / (half * half).sum(axis=0)
        z = self.factor @ (self.factor.T @ self.weights)
        n = len(z)
        spread = float(((z - z.mean()) ** 2).sum()) * (n / max(n - 1, 1)) ** 2
        return 1.0 - float(missed @ missed) / spread if spread else 0.0

    def draws(self, rows: Array, count: int, rng: np.random.Generator) -> Array:
        """Return functions drawn from the posterior: their values at each row, one per line."""
        mean, covariance = self.joint(rows)
        covariance[np.diag_indices_from(covariance)] += _JITTER * self.amplitude * self.scale**2
        factor = _cholesky(covariance)
        return mean + rng.standard_normal((count, len(rows))) @ factor.T

    def _covariance(self, rows: Array) -> Array:
        distances = _distances(self.rows, rows, self.categorical, self.lengths)
        return self.amplitude * _shape(distances)


def unit_of(scores: Array) -> float:
    """Return a unit in which common scores are about 1, so that squares of any are finite.

    In units of the largest score, one loss that exploded would leave nothing of the others.
    """
    sizes = np.abs(scores)
    return float(np.median(sizes) or sizes.max() or 1.0)


def in_units(scores: Array, unit: float) -> Array:
    """Return scores in a unit, none larger than what can be squared."""
    with np.errstate(over="ignore"):
        return np.clip(scores / unit, -_LARGEST, _LARGEST)


def misfit(
    theta: Array, gaps: Array, z: Array, noise: Array, centres: Array, widths: Array
) -> tuple[float, Array]:
    """Return the negative logarithm of the posterior of the parameters, and its gradient.

    Args:
        theta: Logarithms of the lengths, of the amplitude and of the nugget.
        gaps: Squared distance of each two rows, per column.
        z: Scores with mean 0.
        noise: The known variance of each.
        centres: Prior means of theta.
        widths: Prior standard deviations of theta.
    """
    scaled = gaps * np.exp(-2 * theta[:-2])[:, None, None]
    a = np.sqrt(5 * scaled.sum(axis=0))
    decay = math.exp(theta[-2]) * np.exp(-a)
    signal = (1 + a + a * a / 3) * decay
    covariance = signal.copy()
    covariance[np.diag_indices_from(covariance)] += noise + math.exp(theta[-1])
    factor = _cholesky(covariance)
    half = _solve(factor, np.eye(len(z)), lower=True)
    inverse = half.T @ half
    weights = inverse @ z
    residual = (theta - centres) / widths
    value = 0.5 * z @ weights + np.log(np.diag(factor)).sum() + 0.5 * residual @ residual

    pull = 0.5 * (inverse - np.outer(weights, weights))
    slope = pull * (5 / 3) * (1 + a) * decay
    gradient = np.concatenate(
        [
            np.tensordot(scaled, slope, axes=2),
            [(pull * signal).sum(), np.trace(pull) * math.exp(theta[-1])],
        ]
    )
    return float(value), gradient + residual / widths


def gaps_between(rows: Array, others: Array, categorical: Mask) -> Array:
    """Return the squared distances of rows to others, per column."""
    columns = zip(rows.T, others.T, categorical, strict=True)
    return np.array([_gap(a, b, unordered) for a, b, unordered in columns])


def _learnt(rows: Array, z: Array, noise: Array, categorical: Mask, known: bool) -> Array:
    """Return the logarithms of the parameters that fit best."""
    from scipy.optimize import minimize

    d = rows.shape[1]
    length = (_LENGTH[0] * math.sqrt(d), _LENGTH[1])
    priors = [length] * d + [_AMPLITUDE, _NUGGET if known else _UNKNOWN_NOISE]
    centres = np.log([centre for centre, _ in priors])
    widths = np.array([width for _, width in priors])
    found = minimize(
        misfit,
        centres,
        args=(gaps_between(rows, rows, categorical), z, noise, centres, widths),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(centres - _BOUND * widths, centres + _BOUND * widths, strict=True)),
        options={"maxiter": _STEPS},
    )
    return np.asarray(found.x)


def _floor(rows: Array, scores: Array, categorical: Mask) -> float:
    """Return a score well below what is common in the box.

    What is common is asked at even points, each with the score of the nearest row: a Bayesian
    sampler's rows crowd around the best, and most of what it found elsewhere would be the abyss.
    """
    rng = np.random.default_rng(0)
    even = rng.random((_EVEN, rows.shape[1]))
    for column in np.flatnonzero(categorical):
        even[:, column] = rng.choice(np.unique(rows[:, column]), size=_EVEN)
    # Of equal rows, as those of a choice are, no score must stand for all others.
    distances = _JITTER**2 * rng.random((len(even), len(rows)))
    for points, column in zip(even.T, rows.T, strict=True):
        distances += _gap(points, column, unordered=False)
    nearest = distances.argmin(axis=1)
    middle, upper = np.quantile(scores[nearest], [0.5, 0.9])
    # Where most scores are alike, the two say nothing about how far down is far.
    return float(middle - 1.5 * (upper - middle) if upper > middle else scores.min())


def _spread_over(scores: Array, most: int) -> npt.NDArray[np.intp]:
    """Return the places of at most so many scores, at evenly spaced ranks, in rising order."""
    if len(scores) <= most:
        return np.arange(len(scores))
    ranks = np.linspace(0, len(scores) - 1, most).round().astype(int)
    return np.sort(np.argsort(scores, kind="stable")[ranks])


def _distances(rows: Array, others: Array, categorical: Mask, lengths: Array) -> Array:
    """Return the distances in lengths; a column at a time, since candidates are many."""
    total = np.zeros((len(rows), len(others)))
    for a, b, unordered, length in zip(rows.T, others.T, categorical, lengths, strict=True):
        total += _gap(a, b, unordered) / length**2
    return np.sqrt(total)


def _gap(a: Array, b: Array, unordered: bool) -> Array:
    if unordered:
        return np.asarray(a[:, None] != b[None, :], dtype=float)
    return np.asarray((a[:, None] - b[None, :]) ** 2)


def _shape(distances: Array) -> Array:
    a = math.sqrt(5) * distances
    return np.asarray((1 + a + a * a / 3) * np.exp(-a))


def _cholesky(covariance: Array) -> Array:
    return np.asarray(np.linalg.cholesky(covariance), dtype=float)


def _solve(triangle: Array, right: Array, lower: bool) -> Array:
    from scipy.linalg import solve_triangular

    return np.asarray(solve_triangular(triangle, right, lower=lower, check_finite=False))
