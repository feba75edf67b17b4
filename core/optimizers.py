"""The six update rules of chapter 6.1 and its code, sorted by complexity.

Each changes the parameters in place, which is the one exception to "inputs are never modified";
gradients are only read. All intermediate results go to arrays that the optimizer keeps, so that
an update allocates nothing. θ is a parameter, g its gradient, lr the learning rate.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from .functions import FloatArray


class Optimizer(ABC):
    """What the rules share: one step per named parameter, and memory by name.

    Args:
        lr: the learning rate, a Python float: it leaves float32 parameters float32.

    Attributes:
        lr: may be changed between updates.
        state: `state["W1"]["v"]` is what the rule remembers of parameter W1 under the paper's
            symbol v; all zeros before the first update.
    """

    _symbols: tuple[str, ...] = ()

    def __init__(self, lr: float) -> None:
        self.lr = lr
        self.state: dict[str, dict[str, FloatArray]] = {}
        self._scratch: dict[str, FloatArray] = {}

    def update(self, params: Mapping[str, FloatArray], grads: Mapping[str, FloatArray]) -> None:
        """Take one step with every parameter.

        Args:
            params: the parameters by name; changed in place.
            grads: their gradients under the same names, with the same shapes.
        """
        for name, param in params.items():
            if name not in self.state:
                self.state[name] = {symbol: np.zeros_like(param) for symbol in self._symbols}
                self._scratch[name] = np.empty_like(param)
            self._step(param, grads[name], self.state[name], self._scratch[name])

    @abstractmethod
    def _step(
        self, param: FloatArray, grad: FloatArray, state: dict[str, FloatArray], scratch: FloatArray
    ) -> None:
        """Change `param` and `state` in place; `scratch` is free to overwrite."""


class SGD(Optimizer):
    """θ ← θ - lr g."""

    def _step(
        self, param: FloatArray, grad: FloatArray, state: dict[str, FloatArray], scratch: FloatArray
    ) -> None:
        param -= np.multiply(grad, self.lr, out=scratch)


class Momentum(Optimizer):
    """v ← μ v - lr g, then θ ← θ + v (the book's equations 6.3 and 6.4)."""

    _symbols = ("v",)

    def __init__(self, lr: float, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self._momentum = momentum

    def _step(
        self, param: FloatArray, grad: FloatArray, state: dict[str, FloatArray], scratch: FloatArray
    ) -> None:
        v = state["v"]
        v *= self._momentum
        v -= np.multiply(grad, self.lr, out=scratch)
        param += v


class Nesterov(Optimizer):
    """θ ← θ + μ² v - (1 + μ) lr g, then v ← μ v - lr g.

    Bengio, Boulanger-Lewandowski & Pascanu 2012, arXiv:1212.0901, section 3.5: Nesterov's method
    in terms of the looked-ahead point, where the gradient is taken, with a constant μ. The v on
    the right is the one before the step. Older versions of the book's code move v first, which
    makes the step μ³ v - (1 + μ + μ²) lr g.
    """

    _symbols = ("v",)

    def __init__(self, lr: float, momentum: float = 0.9) -> None:
        super().__init__(lr)
        self._momentum = momentum

    def _step(
        self, param: FloatArray, grad: FloatArray, state: dict[str, FloatArray], scratch: FloatArray
    ) -> None:
        # The same step through the new v, for μ² v - (1 + μ) lr g = μ (μ v - lr g) - lr g.
        v, lr_grad = state["v"], np.multiply(grad, self.lr, out=scratch)
        v *= self._momentum
        v -= lr_grad
        param -= lr_grad
        param += np.multiply(v, self._momentum, out=scratch)


class AdaGrad(Optimizer):
    """h ← h + g², then θ ← θ - lr g / (√h + ε).

    Duchi, Hazan & Singer 2011, JMLR 12, in its diagonal form; ε = 1e-7 as in the book.
    """

    _symbols = ("h",)
    _EPS = 1e-7

    def _step(
        self, param: FloatArray, grad: FloatArray, state: dict[str, FloatArray], scratch: FloatArray
    ) -> None:
        h = state["h"]
        h += np.square(grad, out=scratch)
        np.sqrt(h, out=scratch)
        scratch += self._EPS
        np.divide(grad, scratch, out=scratch)
        scratch *= self.lr
        param -= scratch


class RMSProp(Optimizer):
    """h ← ρ h + (1 - ρ) g², then θ ← θ - lr g / (√h + ε).

    Tieleman & Hinton 2012, Coursera lecture 6.5; ρ = 0.99 and ε = 1e-7 as in the book.
    """

    _symbols = ("h",)
    _DECAY = 0.99
    _EPS = 1e-7

    def _step(
        self, param: FloatArray, grad: FloatArray, state: dict[str, FloatArray], scratch: FloatArray
    ) -> None:
        h = state["h"]
        h *= self._DECAY
        np.square(grad, out=scratch)
        scratch *= 1 - self._DECAY
        h += scratch
        np.sqrt(h, out=scratch)
        scratch += self._EPS
        np.divide(grad, scratch, out=scratch)
        scratch *= self.lr
        param -= scratch


class Adam(Optimizer):
    """m ← m + (1 - β₁)(g - m), v ← v + (1 - β₂)(g² - v), θ ← θ - lr_t m / (√v + ε).

    Kingma & Ba 2015, arXiv:1412.6980, algorithm 1 with its defaults β₁ = 0.9, β₂ = 0.999, in the
    reordered form at the end of section 2: lr_t = lr √(1 - β₂ᵗ) / (1 - β₁ᵗ) corrects the bias of
    both averages at once (the correction is derived in section 3). There ε is the paper's ε̂,
    added to the uncorrected √v; 1e-7 as in the book.

    Attributes:
        t: the number of updates so far; the paper's t.
    """

    _symbols = ("m", "v")
    _BETA1 = 0.9
    _BETA2 = 0.999
    _EPS = 1e-7

    def __init__(self, lr: float) -> None:
        super().__init__(lr)
        self.t = 0

    def update(self, params: Mapping[str, FloatArray], grads: Mapping[str, FloatArray]) -> None:
        """Count the update, then take one step with every parameter."""
        self.t += 1
        super().update(params, grads)

    def _step(
        self, param: FloatArray, grad: FloatArray, state: dict[str, FloatArray], scratch: FloatArray
    ) -> None:
        m, v = state["m"], state["v"]
        np.subtract(grad, m, out=scratch)
        scratch *= 1 - self._BETA1
        m += scratch

        np.square(grad, out=scratch)
        scratch -= v
        scratch *= 1 - self._BETA2
        v += scratch

        np.sqrt(v, out=scratch)
        scratch += self._EPS
        np.divide(m, scratch, out=scratch)
        scratch *= self.lr * (math.sqrt(1 - self._BETA2**self.t) / (1 - self._BETA1**self.t))
        param -= scratch


_BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
}


def optimizer(name: str, lr: float, momentum: float = 0.9) -> Optimizer:
    """Return the optimizer of that name.

    Args:
        name: "sgd", "momentum", "nesterov", "adagrad", "rmsprop" or "adam".
        lr: the learning rate.
        momentum: μ of "momentum" and "nesterov"; the others have none.

    Raises:
        ValueError: for any other name.
    """
    if name not in _BY_NAME:
        raise ValueError(f"unknown optimizer {name!r}: choose {', '.join(_BY_NAME)}")
    kind = _BY_NAME[name]
    if issubclass(kind, Momentum | Nesterov):
        return kind(lr, momentum)
    return kind(lr)
