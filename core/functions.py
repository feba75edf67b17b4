"""The functions that layers are made of. None of them modifies its arguments.

Every function works under leading axes: `(..., N, K)` is one batch per leading index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)), elementwise.

    Computed from e = exp(-|x|) ≤ 1, which cannot overflow: 1 / (1 + e) for x ≥ 0 and
    e / (1 + e) for x < 0 are both equal to the formula above.
    """
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, e)
    y /= 1 + e
    return y


def softmax(x: FloatArray) -> FloatArray:
    """Return exp(x_k) / Σ_j exp(x_j) over the last axis; `(..., K)` → `(..., K)`."""
    # Subtracting the maximum changes nothing in the quotient and keeps exp(x) ≤ 1.
    y: FloatArray = x - np.max(x, axis=-1, keepdims=True)
    np.exp(y, out=y)
    y /= np.sum(y, axis=-1, keepdims=True)
    return y


def log_softmax(x: FloatArray) -> FloatArray:
    """Return log(softmax(x)) over the last axis; `(..., K)` → `(..., K)`.

    It stays finite where softmax itself rounds to 0, so that no epsilon inside the logarithm
    is needed (the book adds 1e-7 there).
    """
    y: FloatArray = x - np.max(x, axis=-1, keepdims=True)
    y -= np.log(np.sum(np.exp(y), axis=-1, keepdims=True))
    return y


def one_hot(labels: IntArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return True at each example's label: `(..., N)` → `(..., N, K)`.

    Args:
        labels: integers in 0..K-1, one per example.
        shape: the shape of the scores that they belong to, `(..., N, K)`; it may have more
            leading axes.

    Raises:
        ValueError: if the labels are not integers in 0..K-1, or not one per example.
    """
    if labels.dtype.kind not in "iu" or labels.shape[-1:] != shape[-2:-1]:
        raise ValueError(
            f"labels must be integers of shape (..., N) beside scores of shape (..., N, K), "
            f"got {labels.dtype} {labels.shape} beside {shape}"
        )
    marks: NDArray[np.bool_] = labels[..., np.newaxis] == np.arange(shape[-1])
    if np.count_nonzero(marks) != labels.size:
        raise ValueError(
            f"labels must be in 0..{shape[-1] - 1}, got {labels.min()}..{labels.max()}"
        )
    return marks


def mean_negative_log(log_p: FloatArray, marks: NDArray[np.bool_]) -> FloatArray:
    """Return the mean over N of -log_p where `one_hot` marks the label: `(..., N, K)` → `(...)`."""
    # where, not a product: 0 · -inf would be NaN.
    picked = np.where(marks, log_p, 0)
    return np.asarray(np.sum(picked, axis=(-2, -1)) / -log_p.shape[-2])


def cross_entropy(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Return the mean over N of -log softmax(scores)[label].

    `(..., N, K)` and `(..., N)` → `(...)`, a 0-d array for one batch; errors as in `one_hot`.
    """
    return mean_negative_log(log_softmax(scores), one_hot(labels, scores.shape))


def accuracy(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Return the share of rows whose largest score is at the label, in 0..1.

    `(..., N, K)` and `(..., N)` → `(...)`. The result is float64, for it is a ratio of counts.
    """
    return np.asarray(np.mean(np.argmax(scores, axis=-1) == labels, axis=-1))
