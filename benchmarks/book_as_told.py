"""The book's job as chapters 5 and 6 tell it, in plain NumPy: one process, and nothing stored.

    python benchmarks/book_as_told.py TRIALS

Written after the text: everything in float64; batches are drawn with replacement; the derivative
goes back to the images; the loss after each update, which is recorded, has a forward pass of its
own; so has each accuracy, after every epoch.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from studies import splits

Floats = NDArray[np.float64]
Labels = NDArray[np.integer]


class Network:
    """Six hidden layers of 100 units with ReLU, and a softmax with cross entropy on top."""

    def __init__(self, decay: float, rng: np.random.Generator) -> None:
        self.decay = decay
        self.weights = [
            rng.standard_normal((d, m)) * np.sqrt(2 / d)
            for d, m in pairwise([784, 100, 100, 100, 100, 100, 100, 10])
        ]
        self.biases = [np.zeros(weight.shape[1]) for weight in self.weights]

    def scores(self, x: Floats) -> Floats:
        self.inputs: list[Floats] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            if self.inputs:
                x = x.copy()
                x[x <= 0] = 0
            self.inputs.append(x)
            x = np.dot(x, weight) + bias
        return x

    def loss(self, x: Floats, t: Labels) -> float:
        scores = self.scores(x)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.chances = scores / scores.sum(axis=1, keepdims=True)
        penalty = sum(0.5 * self.decay * np.sum(weight**2) for weight in self.weights)
        return float(-np.mean(np.log(self.chances[np.arange(len(t)), t] + 1e-7)) + penalty)

    def accuracy(self, x: Floats, t: Labels) -> float:
        return float(np.mean(np.argmax(self.scores(x), axis=1) == t))

    def gradients(self, x: Floats, t: Labels) -> tuple[list[Floats], list[Floats]]:
        self.loss(x, t)
        back = self.chances.copy()
        back[np.arange(len(t)), t] -= 1
        back = back / len(t)
        by_weight, by_bias = [], []
        for number in reversed(range(len(self.weights))):
            weight = self.weights[number]
            by_weight.append(np.dot(self.inputs[number].T, back) + self.decay * weight)
            by_bias.append(np.sum(back, axis=0))
            back = np.dot(back, weight.T)
            if number:
                back[self.inputs[number] <= 0] = 0
        return by_weight[::-1], by_bias[::-1]


def train(lr: float, decay: float, rng: np.random.Generator) -> float:
    """Train once, and return the validation accuracy after the last epoch."""
    x, t, x_val, t_val = splits.load("mnist", samples=500, validation=0.2)
    x, x_val = x.astype(float), x_val.astype(float)
    network, losses, curves = Network(decay, rng), [], []
    for update in range(50 * len(x) // 100):
        batch = rng.choice(len(x), 100)
        by_weight, by_bias = network.gradients(x[batch], t[batch])
        for values, gradients in ((network.weights, by_weight), (network.biases, by_bias)):
            for value, gradient in zip(values, gradients, strict=True):
                value -= lr * gradient
        losses.append(network.loss(x[batch], t[batch]))
        if update % (len(x) // 100) == 0:
            curves.append((network.accuracy(x, t), network.accuracy(x_val, t_val)))
    return network.accuracy(x_val, t_val)


def main() -> None:
    rng = np.random.default_rng(0)
    for _ in range(int(sys.argv[1])):
        lr, decay = 10 ** rng.uniform(-6, -2), 10 ** rng.uniform(-8, -4)
        print(f"val acc:{train(lr, decay, rng)} | lr:{lr}, weight decay:{decay}")


if __name__ == "__main__":
    main()
