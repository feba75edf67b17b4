"""Backpropagation against central differences, in float64.

(f(x + h) - f(x - h)) / 2h differs from the derivative by O(h²) from truncation and O(ε / h) from
rounding; h = 1e-5 keeps both near 1e-10 in float64. In float32 the check would mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .functions import FloatArray, IntArray
from .layers import Layer
from .network import MLP

_WORST_SHOWN = 5
# Below this size a gradient is compared absolutely: rounding alone makes 1e-11 out of a true 0.
_SMALLEST = 1e-4


class GradientError(AssertionError):
    """Backpropagation and central differences disagree; the message is the report."""


@dataclass(frozen=True)
class GradientReport:
    """The comparison of one array's gradients.

    Attributes:
        name: which array.
        backprop: its gradient by backpropagation.
        numerical: the same by central differences; the same shape.
    """

    name: str
    backprop: FloatArray
    numerical: FloatArray

    @property
    def relative_errors(self) -> FloatArray:
        """|a - n| / max(|a|, |n|, 1e-4), elementwise."""
        size = np.maximum(np.abs(self.backprop), np.abs(self.numerical))
        errors: FloatArray = np.abs(self.backprop - self.numerical) / np.maximum(size, _SMALLEST)
        return errors

    @property
    def worst(self) -> float:
        """The largest relative error; NaN counts as infinite."""
        return float(np.max(np.nan_to_num(self.relative_errors, nan=np.inf), initial=0.0))

    def __str__(self) -> str:
        errors = self.relative_errors
        lines = [f"{self.name} {errors.shape}: worst relative error {self.worst:.1e}"]
        # argsort puts NaN last, as the largest.
        for flat in np.argsort(errors, axis=None)[::-1][:_WORST_SHOWN]:
            index = tuple(int(i) for i in np.unravel_index(flat, errors.shape))
            a, n = self.backprop[index], self.numerical[index]
            lines.append(f"  {list(index)}  backprop {a:+.9e}  numerical {n:+.9e}")
        return "\n".join(lines)


def numerical_gradient(
    f: Callable[[FloatArray], float], x: FloatArray, h: float = 1e-5
) -> FloatArray:
    """Return the gradient of f at x by central differences, two calls per entry.

    Args:
        f: a function of one float64 array. It must not keep its argument, which is reused.
        x: any shape; not modified.
        h: the step.

    Returns:
        A float64 array of the shape of x.
    """
    x = np.array(x, dtype=np.float64)
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + h
        above = f(x)
        x[index] = value - h
        gradient[index] = (above - f(x)) / (2 * h)
        x[index] = value
    return gradient


def check_layer(
    layer: Layer, x: FloatArray, *, rng: Generator, tolerance: float = 1e-6
) -> list[GradientReport]:
    """Check a layer's gradients by its input and by each of its parameters, in training mode.

    The loss is Σ dout · y with random dout, so that every output counts differently.

    Args:
        layer: with float64 parameters; they are the same afterwards (running averages move).
        x: a float64 input, `(..., N, D)`; not modified.
        rng: draws dout. A dropout layer should hold this same generator: it is set back before
            each forward pass, so that all of them see the same mask.
        tolerance: the largest relative error accepted.

    Returns:
        One report per parameter and one for the input, named "x".

    Raises:
        GradientError: if an error is larger; the message shows both gradients.
        ValueError: if an array is not float64.
    """
    x = x.copy()
    dout = rng.standard_normal(layer.forward(x, training=True).shape)
    state = rng.bit_generator.state

    def loss() -> float:
        rng.bit_generator.state = state
        return float(np.sum(dout * layer.forward(x, training=True)))

    loss()
    dx = layer.backward(dout)
    return _check(loss, {**layer.params, "x": x}, {**layer.grads, "x": dx}, tolerance)


def check_network(
    network: MLP, x: FloatArray, t: IntArray, *, tolerance: float = 1e-6
) -> list[GradientReport]:
    """Check `network.gradient` by every parameter.

    Args:
        network: in float64; its parameters are the same afterwards (running averages move). For
            a stack the sum of the losses is checked, each of which depends on one network only.
        x: the data, `(..., N, D)`.
        t: the labels, `(..., N)`.
        tolerance: the largest relative error accepted.

    Returns:
        One report per parameter.

    Raises:
        GradientError: if an error is larger; the message shows both gradients.
        ValueError: if the network is not float64.
    """
    state = network.masks.bit_generator.state

    def loss() -> float:
        network.masks.bit_generator.state = state  # the same dropout masks each time
        return float(np.sum(network.loss(x, t, training=True)))

    gradient = network.gradient(x, t)
    return _check(loss, network.params, gradient, tolerance)


def _check(
    loss: Callable[[], float],
    arrays: Mapping[str, FloatArray],
    backprop: Mapping[str, FloatArray],
    tolerance: float,
) -> list[GradientReport]:
    """Compare the gradients of a loss that reads the arrays; they are restored afterwards."""
    reports = []
    for name, array in arrays.items():
        if array.dtype != np.float64:
            raise ValueError(f"a gradient check needs float64, {name} is {array.dtype}")
        numerical = _gradient_by(array, loss)
        if backprop[name].shape != numerical.shape:
            raise GradientError(
                f"{name}: backprop gives shape {backprop[name].shape}, expected {numerical.shape}"
            )
        reports.append(GradientReport(name, backprop[name], numerical))
    failed = [report for report in reports if not report.worst <= tolerance]
    if failed:
        raise GradientError("\n".join(map(str, failed)))
    return reports


def _gradient_by(array: FloatArray, loss: Callable[[], float]) -> FloatArray:
    original = array.copy()

    def loss_at(value: FloatArray) -> float:
        array[...] = value
        return loss()

    try:
        return numerical_gradient(loss_at, original)
    finally:
        array[...] = original
