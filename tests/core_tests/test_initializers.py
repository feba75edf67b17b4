from __future__ import annotations

import math

import numpy as np
import pytest

from core import He, Initializer, Xavier, Zeros, initializer

D, M = 400, 250


@pytest.mark.parametrize(
    ("spec", "std"),
    [("xavier", math.sqrt(1 / D)), ("he", math.sqrt(2 / D)), (0.01, 0.01), (1, 1.0)],
)
def test_distribution(spec: str | float, std: float) -> None:
    w = initializer(spec)(np.random.default_rng(0), (3, D, M))
    assert w.shape == (3, D, M)
    # n = 300,000 draws: std of the mean is std/√n, of the sample std is std/√(2n); five of each.
    n = w.size
    assert abs(w.mean(dtype=np.float64)) < 5 * std / math.sqrt(n)
    assert abs(w.std(dtype=np.float64) - std) < 5 * std / math.sqrt(2 * n)
    # A normal distribution: 68.27 % within one standard deviation.
    assert abs(np.mean(np.abs(w) < std) - 0.6827) < 0.005


@pytest.mark.parametrize("make", [Xavier(), He(), Zeros(), initializer(0.5)])
def test_dtype_and_seed(make: Initializer) -> None:
    single = make(np.random.default_rng(7), (D, M))
    double = make(np.random.default_rng(7), (D, M), np.float64)
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    np.testing.assert_array_equal(single, double.astype(np.float32))


def test_zeros() -> None:
    assert not initializer("zeros")(np.random.default_rng(0), (D, M)).any()


@pytest.mark.parametrize("spec", ["He", "normal", ""])
def test_unknown_name_says_what_is_allowed(spec: str) -> None:
    with pytest.raises(ValueError, match=f"'{spec}': choose he, xavier, zeros or a standard"):
        initializer(spec)


@pytest.mark.parametrize("spec", [-1.0, math.nan, math.inf])
def test_bad_number_is_refused(spec: float) -> None:
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        initializer(spec)
