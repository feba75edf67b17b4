"""The trial of the book's job (chapter 6.5.2): the work that `training` and `job` measure.

    python benchmarks/book_trial.py TRIALS

A network of six hidden layers of 100 units learns 400 images of MNIST for 50 epochs in batches of
100; after each epoch, loss and accuracy are taken on these and on 100 others. Run as a program, it
trains so many trials one after the other, stores nothing, and prints the seconds of each.
"""

from __future__ import annotations

import os

from hpo.threads import ONE_THREAD

os.environ.update(ONE_THREAD)  # read when NumPy is imported

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from hpo.catalog import find_definition
from hpo.errors import DataError
from studies import mlp, splits

Work = Callable[[], object]


class Unheard:
    """A run that nobody listens to."""

    seed = 0

    def report(self, step: int, **metrics: float) -> None:
        pass


def settings(lr: float = 0.01, weight_decay: float = 1e-6) -> dict[str, Any]:
    """Return those of `mnist-book`; the book found its best trials near these two."""
    fixed = find_definition("mnist-book").fixed or {}
    return {**fixed, "lr": lr, "weight_decay": weight_decay}


def data() -> splits.Split:
    fixed = settings()
    try:
        return splits.load(fixed["data"], samples=fixed["samples"], validation=fixed["validation"])
    except DataError as error:
        raise SystemExit(str(error)) from None


def by_core() -> Work:
    """The whole trial, as a worker runs it."""
    params = settings()
    return lambda: mlp.train(params, Unheard())


def products_alone() -> Work:
    """Only the matrix products of that trial: those that no implementation can do without."""
    fixed, examples = settings(), data()
    sizes = [examples.x_train.shape[1], *fixed["hidden"], 10]
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    weights = [draw(*shape) for shape in pairwise(sizes)]
    train, validation = len(examples.x_train), len(examples.x_val)
    batch, seen = fixed["batch_size"], (train, validation)
    # What a layer is given, and in the place of the next one what it is given back.
    values = {n: [draw(n, size) for size in sizes] for n in {batch, *seen}}

    def forward(n: int) -> None:
        for x, weight in zip(values[n], weights, strict=False):
            x @ weight

    def backward() -> None:
        given = values[batch]
        for i in reversed(range(len(weights))):
            given[i].T @ given[i + 1]
            if i:  # nobody needs the derivative by the images
                given[i + 1] @ weights[i].T

    def work() -> None:
        for _ in range(fixed["epochs"]):
            for _ in range(train // batch):
                forward(batch)
                backward()
            for n in seen:
                forward(n)

    return work


def by_torch() -> Work:
    """The whole trial in PyTorch, on one thread.

    Raises:
        ImportError: PyTorch is not installed.
    """
    import torch
    from torch import nn

    torch.set_num_threads(1)
    fixed = settings()
    x, t, x_val, t_val = (torch.tensor(part) for part in data())
    sizes = [x.shape[1], *fixed["hidden"], 10]

    def train() -> float:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for d, m in pairwise(sizes):
            linear = nn.Linear(d, m)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU()]
        network = nn.Sequential(*layers[:-1])
        weights = [p for p in network.parameters() if p.ndim == 2]
        biases = [p for p in network.parameters() if p.ndim == 1]
        decayed = {"params": weights, "weight_decay": fixed["weight_decay"]}
        optimizer = torch.optim.SGD([decayed, {"params": biases}], lr=fixed["lr"])
        loss_of = nn.CrossEntropyLoss()
        score = 0.0
        for _ in range(fixed["epochs"]):
            for batch in torch.randperm(len(x)).split(fixed["batch_size"]):
                optimizer.zero_grad()
                loss_of(network(x[batch]), t[batch]).backward()
                optimizer.step()
            with torch.no_grad():
                for images, labels in ((x, t), (x_val, t_val)):
                    scores = network(images)
                    loss_of(scores, labels).item()
                    score = (scores.argmax(1) == labels).float().mean().item()
        return score

    return train


def main() -> None:
    train = by_core()
    for _ in range(int(sys.argv[1])):
        began = time.perf_counter()
        train()
        print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
