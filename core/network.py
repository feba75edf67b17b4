"""The fully connected network of chapter 6: layers in a row, and a loss at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, DTypeLike

from .functions import FloatArray, IntArray, accuracy, cross_entropy
from .initializers import initializer
from .layers import (
    Affine,
    BatchNorm,
    Dropout,
    Layer,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)

_ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh}


class MLP:
    """A multi-layer perceptron, or a stack of independent ones of the same shape.

    Each hidden layer is Affine, [BatchNorm], activation, [Dropout]; the last layer is Affine and
    gives the scores. Parameters are named as in the book: W1, b1, gamma1, beta1, W2, …

    Args:
        sizes: (D, h1, …, K): inputs, hidden units, classes.
        activation: "relu", "sigmoid" or "tanh".
        init: "he", "xavier", "zeros" or a standard deviation, for all weights; b and beta start
            at 0, gamma at 1.
        batch_norm: whether to normalize before each activation.
        dropout: the share of each hidden layer's outputs set to 0 in training.
        weight_decay: λ; the loss in training gains ½ λ Σ W² over the weight matrices only.
        rng: draws the weights W1, W2, … in this order. A stack draws each matrix for all its
            networks at once; copy parameters in to build a stack of given networks. Dropout masks
            come from a child of it (`Generator.spawn`), so that what the caller draws from it
            next is the same with and without dropout.
        dtype: the precision of parameters and results; data is converted to it.
        stack: the leading axes of all parameters. `(3,)` makes three networks, whose losses have
            shape `(3,)`. Data `(N, D)` then serves all of them, data `(3, N, D)` one each.

    Attributes:
        params: every parameter by name: the arrays that the layers use.
        layers: the layers in forward order.
        masks: the generator of the dropout masks.
        dtype, stack, weight_decay: as given.

    Raises:
        ValueError: for a name or number out of range, naming what is allowed.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: str = "relu",
        init: str | float = "he",
        batch_norm: bool = False,
        dropout: float = 0.0,
        weight_decay: float = 0.0,
        rng: Generator,
        dtype: DTypeLike = np.float32,
        stack: tuple[int, ...] = (),
    ) -> None:
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must be at least two positive numbers, got {tuple(sizes)}")
        if activation not in _ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}: choose {', '.join(_ACTIVATIONS)}")
        if not weight_decay >= 0:
            raise ValueError(f"weight decay must be at least 0, got {weight_decay!r}")
        self.dtype = np.dtype(dtype)
        self.stack = stack
        self.weight_decay = weight_decay
        self.params: dict[str, FloatArray] = {}
        self.layers: list[Layer] = []
        self._names: list[dict[str, str]] = []  # per layer: its own name -> the network's
        self._weights = [f"W{i}" for i in range(1, len(sizes))]
        self._head = SoftmaxCrossEntropy()
        (self.masks,) = rng.spawn(1)

        draw = initializer(init)
        last = len(sizes) - 1
        for i, (d, m) in enumerate(pairwise(sizes), start=1):
            weights = draw(rng, (*stack, d, m), self.dtype)
            affine = Affine(weights, np.zeros((*stack, m), self.dtype))
            self._add(affine, i)
            if i == 1:
                self._first = affine
            if i == last:
                break
            if batch_norm:
                gamma = np.ones((*stack, m), self.dtype)
                self._add(BatchNorm(gamma, np.zeros_like(gamma)), i)
            self._add(_ACTIVATIONS[activation](), i)
            if dropout != 0:
                self._add(Dropout(dropout, self.masks), i)

    def _add(self, layer: Layer, i: int) -> None:
        names = {name: f"{name}{i}" for name in layer.params}
        self.layers.append(layer)
        self._names.append(names)
        self.params.update({names[name]: array for name, array in layer.params.items()})

    def predict(self, x: ArrayLike) -> FloatArray:
        """Return the scores in inference mode; `(..., N, D)` → `(..., N, K)`."""
        return self._forward(x, training=False)

    def evaluate(self, x: ArrayLike, t: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return loss and accuracy in inference mode, from one forward pass.

        The loss is the data's cross entropy alone, without weight decay: so it compares networks
        with different λ, and training with validation data.

        Args:
            x: the data, `(..., N, D)`.
            t: the labels, `(..., N)`, integers in 0..K-1.

        Returns:
            Two arrays of shape `(...)`: 0-d for one network.
        """
        scores = self.predict(x)
        return cross_entropy(scores, t), accuracy(scores, t)

    def loss(self, x: ArrayLike, t: IntArray, training: bool = False) -> FloatArray:
        """Return what training minimizes: cross entropy + ½ λ Σ W²; shapes as in `evaluate`."""
        data_loss = self._head.forward(self._forward(x, training=training), t)
        return np.asarray(data_loss + self._penalty())

    def gradient(self, x: ArrayLike, t: IntArray) -> dict[str, FloatArray]:
        """Return the derivatives of `loss(x, t, training=True)`; in a stack, each network's own.

        Args:
            x: the data, `(..., N, D)`.
            t: the labels, `(..., N)`.

        Returns:
            New arrays under the names of `params`, with the same shapes.

        Raises:
            ValueError: if data or labels have other leading axes than the stack.
        """
        self._train_forward(x, t)
        return self._backward()

    def loss_and_gradient(
        self, x: ArrayLike, t: IntArray
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """Return `loss(x, t, training=True)` and `gradient(x, t)` from one forward pass."""
        data_loss = self._train_forward(x, t)
        return np.asarray(data_loss + self._penalty()), self._backward()

    def _forward(self, x: ArrayLike, *, training: bool) -> FloatArray:
        # One float64 batch would turn everything behind it into float64.
        y: FloatArray = np.asarray(x, dtype=self.dtype)
        for layer in self.layers:
            y = layer.forward(y, training=training)
        return y

    def _train_forward(self, x: ArrayLike, t: IntArray) -> FloatArray:
        scores = self._forward(x, training=True)
        if scores.shape[:-2] != self.stack:
            raise ValueError(
                f"training needs data of shape (N, D) or {(*self.stack, 'N', 'D')} "
                f"for a stack of shape {self.stack}, got {np.shape(x)}"
            )
        return self._head.forward(scores, t)

    def _penalty(self) -> FloatArray | float:
        """Return ½ λ Σ W², one per network of the stack."""
        if self.weight_decay == 0:
            return 0.0  # and not 0 · inf = NaN in a network that diverges
        # einsum sums the squares of the last two axes without an array of squares.
        weights = [self.params[name] for name in self._weights]
        squares = sum(np.einsum("...dm,...dm->...", w, w) for w in weights)
        return np.asarray(0.5 * self.weight_decay * squares)

    def _backward(self) -> dict[str, FloatArray]:
        dout = self._head.backward()
        for layer in reversed(self.layers[1:]):
            dout = layer.backward(dout)
        self._first.backward_params(dout)  # nobody asks for the derivative by the data

        grads = {
            full_name: layer.grads[name]
            for layer, names in zip(self.layers, self._names, strict=True)
            for name, full_name in names.items()
        }
        if self.weight_decay != 0:
            for name in self._weights:
                grads[name] += self.weight_decay * self.params[name]  # d(½ λ Σ W²)/dW
        return grads
