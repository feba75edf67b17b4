"""Distributions of the initial weights.

Each draws an array of shape `(..., D, M)` from the generator it is given: D inputs, M outputs,
one matrix per leading index, in C order. The draws are made in float64 and then rounded, so that
one seed gives the same network in float32 and, for checks, in float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike

from .functions import FloatArray


class Initializer(ABC):
    """A normal distribution around 0 whose standard deviation may depend on the inputs' number."""

    @abstractmethod
    def std(self, inputs: int) -> float:
        """Return the standard deviation of the weights of a layer with so many inputs."""

    def __call__(
        self, rng: Generator, shape: tuple[int, ...], dtype: DTypeLike = np.float32
    ) -> FloatArray:
        """Draw weights.

        Args:
            rng: the source of all randomness.
            shape: `(..., D, M)`.
            dtype: the precision of the result.

        Returns:
            An array of that shape and dtype.
        """
        weights: FloatArray = (self.std(shape[-2]) * rng.standard_normal(shape)).astype(dtype)
        return weights


class Zeros(Initializer):
    """All weights 0: the units of a layer then stay equal forever, as chapter 6.2.1 shows."""

    def std(self, inputs: int) -> float:
        """Return 0."""
        return 0.0


class FixedStd(Initializer):
    """The same standard deviation for every layer, as the book's 0.01 and 1."""

    def __init__(self, std: float) -> None:
        if not (std >= 0 and math.isfinite(std)):
            raise ValueError(f"a standard deviation must be finite and at least 0, got {std!r}")
        self._std = float(std)

    def std(self, inputs: int) -> float:
        """Return the fixed number."""
        return self._std


class Xavier(Initializer):
    """Keeps the variance of activations from layer to layer, for sigmoid and tanh.

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010. The book's form: it uses the inputs only, not the mean of inputs and outputs.
    """

    def std(self, inputs: int) -> float:
        """Return 1 / √n_in."""
        return math.sqrt(1 / inputs)


class He(Initializer):
    """As Xavier, for ReLU: the factor 2 makes up for the half that ReLU sets to 0.

    He et al., "Delving deep into rectifiers", ICCV 2015, equation (10), arXiv:1502.01852.
    """

    def std(self, inputs: int) -> float:
        """Return √(2 / n_in)."""
        return math.sqrt(2 / inputs)


_BY_NAME: dict[str, type[Initializer]] = {"he": He, "xavier": Xavier, "zeros": Zeros}


def initializer(spec: str | float) -> Initializer:
    """Return the initializer of that name, or `FixedStd` for a number.

    Raises:
        ValueError: for any other name, or a negative or non-finite number.
    """
    if not isinstance(spec, str):
        return FixedStd(spec)
    if spec not in _BY_NAME:
        raise ValueError(
            f"unknown initializer {spec!r}: choose {', '.join(_BY_NAME)} or a standard deviation"
        )
    return _BY_NAME[spec]()
