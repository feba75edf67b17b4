"""The layers of chapters 5 and 6, forward and backward.

Shapes: data is `(..., N, D)`: N examples of D values, and any leading axes. Weights are
`(..., D, M)`, all other parameters `(..., M)`; their leading axes make a stack of independent
networks. Data broadcasts into the stack, so one batch `(N, D)` serves all of them.

A layer never modifies what it is given. What `backward` needs is kept by the forward pass in
training mode only, so `backward` belongs to the latest `forward(..., training=True)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.random import Generator

from .functions import FloatArray, IntArray, log_softmax, mean_negative_log, one_hot, sigmoid


class Layer(ABC):
    """A function of its input and its parameters that knows its derivatives.

    Attributes:
        params: the parameters by name; empty for a layer without any. An optimizer changes
            these arrays in place.
        grads: the latest derivatives of the loss under the same names, with the same shapes;
            new arrays at each `backward`.
    """

    def __init__(self) -> None:
        self.params: dict[str, FloatArray] = {}
        self.grads: dict[str, FloatArray] = {}

    @abstractmethod
    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Return the layer's output.

        Args:
            x: the input, `(..., N, D)`.
            training: True to keep what `backward` needs and to behave as in training.
        """

    @abstractmethod
    def backward(self, dout: FloatArray) -> FloatArray:
        """Set `grads` and return the derivative of the loss with respect to the input.

        Args:
            dout: the derivative with respect to the output, in the output's shape.
        """


class Affine(Layer):
    """y = x W + b: `(..., N, D)` → `(..., N, M)`, with W `(..., D, M)` and b `(..., M)`."""

    def __init__(self, W: FloatArray, b: FloatArray) -> None:
        super().__init__()
        self.params = {"W": W, "b": b}

    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Return x W + b."""
        if training:
            self._x = x
        y: FloatArray = x @ self.params["W"]
        y += self.params["b"][..., np.newaxis, :]
        return y

    def backward_params(self, dout: FloatArray) -> None:
        """Set `grads` only: dW = xᵀ dout, db = Σ_n dout.

        All that a network's first layer needs; the derivative with respect to the data would
        cost as much again.
        """
        self.grads = {"W": self._x.mT @ dout, "b": np.add.reduce(dout, axis=-2)}

    def backward(self, dout: FloatArray) -> FloatArray:
        """Set `grads` and return dx = dout Wᵀ."""
        self.backward_params(dout)
        dx: FloatArray = dout @ self.params["W"].mT
        return dx


class ReLU(Layer):
    """y = max(x, 0). At x = 0 the derivative is taken as 0."""

    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Return max(x, 0)."""
        y: FloatArray = np.maximum(x, 0)
        if training:
            self._positive = y > 0
        return y

    def backward(self, dout: FloatArray) -> FloatArray:
        """Return dout where x was positive, else 0."""
        dx: FloatArray = dout * self._positive
        return dx


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Return sigmoid(x)."""
        y = sigmoid(x)
        if training:
            self._y = y
        return y

    def backward(self, dout: FloatArray) -> FloatArray:
        """Return dout · y (1 - y), the derivative in terms of the output."""
        dx: FloatArray = 1 - self._y
        dx *= self._y
        dx *= dout
        return dx


class Tanh(Layer):
    """y = tanh(x)."""

    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Return tanh(x)."""
        y: FloatArray = np.tanh(x)
        if training:
            self._y = y
        return y

    def backward(self, dout: FloatArray) -> FloatArray:
        """Return dout · (1 - y²), the derivative in terms of the output."""
        dx: FloatArray = np.square(self._y)
        np.subtract(1, dx, out=dx)
        dx *= dout
        return dx


class BatchNorm(Layer):
    """y = gamma x̂ + beta with x̂ = (x - μ) / √(σ² + ε), over the N examples of a batch.

    Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1. In training μ and σ² are the batch's
    own; in inference they are running averages of those: running ← 0.9 running + 0.1 batch.
    As in the book, σ² is the biased variance (divided by N) in both places; the paper's
    inference uses N - 1.

    Attributes:
        running_mean: the average of μ, `(..., M)`; starts at 0.
        running_var: the average of σ², `(..., M)`. Starts at 1, so that inference before the
            first update leaves x as it is; the book's start at 0 divides by √ε there, and
            biases the average low for the first dozens of updates.
    """

    _MOMENTUM = 0.9
    _EPS = 1e-7  # the book writes 10e-7, which is 1e-6

    def __init__(self, gamma: FloatArray, beta: FloatArray) -> None:
        super().__init__()
        self.params = {"gamma": gamma, "beta": beta}
        self.running_mean: FloatArray = np.zeros_like(beta)
        self.running_var: FloatArray = np.ones_like(gamma)

    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Normalize; in training also move the running averages towards this batch."""
        mean, var = self.running_mean, self.running_var
        if training:
            mean, var = np.mean(x, axis=-2), np.var(x, axis=-2)
            self.running_mean += (1 - self._MOMENTUM) * (mean - self.running_mean)
            self.running_var += (1 - self._MOMENTUM) * (var - self.running_var)
        std = np.sqrt(var + self._EPS)
        x_hat = x - mean[..., np.newaxis, :]
        x_hat /= std[..., np.newaxis, :]
        if training:
            self._x_hat, self._std = x_hat, std
        y: FloatArray = x_hat * self.params["gamma"][..., np.newaxis, :]
        y += self.params["beta"][..., np.newaxis, :]
        return y

    def backward(self, dout: FloatArray) -> FloatArray:
        """Set `grads` and return dx.

        With dγ = Σ_n dout x̂ and dβ = Σ_n dout, the chain rule through μ and σ² collapses to
        dx = γ/√(σ² + ε) · (dout - dβ/N - x̂ dγ/N).
        """
        n = dout.shape[-2]
        d_gamma: FloatArray = np.einsum("...nm,...nm->...m", dout, self._x_hat)
        d_beta = np.add.reduce(dout, axis=-2)
        self.grads = {"gamma": d_gamma, "beta": d_beta}

        dx: FloatArray = self._x_hat * (d_gamma / -n)[..., np.newaxis, :]
        dx += dout
        dx -= (d_beta / n)[..., np.newaxis, :]
        dx *= (self.params["gamma"] / self._std)[..., np.newaxis, :]
        return dx


class Dropout(Layer):
    """Sets each value to 0 with probability `rate` in training, and nothing in inference.

    Srivastava et al. 2014, JMLR 15. This is inverted dropout: the surviving values are divided
    by 1 - rate in training; the book multiplies by 1 - rate in inference instead, and the two
    agree in expectation.

    Args:
        rate: in 0 ≤ rate < 1.
        rng: draws a new mask at each forward pass in training.
    """

    def __init__(self, rate: float, rng: Generator) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {rate!r}")
        self._rate = rate
        self._rng = rng

    def forward(self, x: FloatArray, *, training: bool) -> FloatArray:
        """Return x masked and scaled in training, x itself in inference."""
        if not training:
            return x
        kept = self._rng.random(x.shape, dtype=np.float32) >= self._rate
        self._mask = kept * x.dtype.type(1 / (1 - self._rate))
        y: FloatArray = x * self._mask
        return y

    def backward(self, dout: FloatArray) -> FloatArray:
        """Return dout through the same mask."""
        dx: FloatArray = dout * self._mask
        return dx


class SoftmaxCrossEntropy:
    """The loss head: the mean over N of -log softmax(scores)[label].

    Softmax and cross entropy are one layer because their joint derivative is simply
    (softmax - one-hot) / N (the book's appendix A).
    """

    def forward(self, scores: FloatArray, labels: IntArray) -> FloatArray:
        """Return the loss: `(..., N, K)` and `(..., N)` → `(...)`, a 0-d array for one network."""
        self._log_p, self._one_hot = log_softmax(scores), one_hot(labels, scores.shape)
        return mean_negative_log(self._log_p, self._one_hot)

    def backward(self) -> FloatArray:
        """Return the derivative by the scores of the loss (in a stack: of each one's loss)."""
        dscores: FloatArray = np.exp(self._log_p)
        dscores -= self._one_hot
        dscores /= dscores.shape[-2]
        return dscores
