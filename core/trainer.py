"""The training loop: shuffle, walk through the batches, report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, count, islice

import numpy as np
from numpy.random import Generator

from .functions import FloatArray, IntArray
from .network import MLP
from .optimizers import Optimizer

Dataset = tuple[FloatArray, IntArray]
"""Examples `(N, D)` and their integer labels `(N,)`."""

OnStep = Callable[[int, dict[str, float]], None]
"""Called with a number that counts from 1 and the metrics by name."""


class Trainer:
    """Trains one network with mini-batches.

    Each epoch shuffles the training set and walks through it in ⌈N / batch_size⌉ batches, of
    which the last may be smaller. The book draws every batch from the whole set with replacement
    instead: there an "epoch" is only a number of updates, in which some examples come twice and
    others (about 1/e of them) not at all.

    Args:
        network: a single network; it is changed by training.
        optimizer: its update rule.
        batch_size: examples per update.
        rng: shuffles; one permutation per epoch.

    Raises:
        ValueError: for a stack of networks, or a batch size below 1.
    """

    def __init__(
        self, network: MLP, optimizer: Optimizer, *, batch_size: int, rng: Generator
    ) -> None:
        if network.stack:
            raise ValueError(f"the trainer takes a single network, got a stack {network.stack}")
        if batch_size < 1:
            raise ValueError(f"batch size must be at least 1, got {batch_size!r}")
        self._network = network
        self._optimizer = optimizer
        self._batch_size = batch_size
        self._rng = rng

    def fit(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        epochs: int | None = None,
        iterations: int | None = None,
        on_step: OnStep,
    ) -> None:
        """Train for a number of epochs, or of updates.

        With `epochs`, `on_step(epoch, metrics)` follows each epoch; the metrics are train_loss,
        train_accuracy and, with validation data, val_loss and val_accuracy, over all examples in
        inference mode (losses without weight decay). With `iterations`, `on_step(iteration,
        metrics)` follows each update; the only metric is train_loss, which is the loss (with
        weight decay) of the batch just before its update.

        A network that diverges reports infinite or NaN metrics, without a warning. Whatever
        `on_step` raises ends the training and passes through.

        Args:
            train: examples `(N, D)` and integer labels `(N,)`.
            validation: the same, never trained on; not evaluated with `iterations`.
            epochs: how often to walk through the training set; or:
            iterations: how many updates to make.
            on_step: receives the progress.

        Raises:
            ValueError: unless exactly one of `epochs` and `iterations` is given, or for an empty
                training set.
        """
        if (epochs is None) == (iterations is None):
            raise ValueError("give exactly one of epochs and iterations")
        if len(train[0]) == 0 or len(train[0]) != len(train[1]):
            raise ValueError(
                f"training needs as many examples as labels, and at least one, "
                f"got {len(train[0])} and {len(train[1])}"
            )
        train = self._converted(train)
        if epochs is not None:
            evaluated = {"train": train}
            if validation is not None:
                evaluated["val"] = self._converted(validation)
            for epoch in range(1, epochs + 1):
                with _silent():
                    for x, t in self._batches(train):
                        self._optimizer.update(self._network.params, self._network.gradient(x, t))
                    metrics = self._metrics(evaluated)
                on_step(epoch, metrics)
        elif iterations is not None:
            endless = chain.from_iterable(self._batches(train) for _ in count())
            for iteration, (x, t) in enumerate(islice(endless, iterations), start=1):
                with _silent():
                    loss, grads = self._network.loss_and_gradient(x, t)
                    self._optimizer.update(self._network.params, grads)
                on_step(iteration, {"train_loss": float(loss)})

    def _converted(self, data: Dataset) -> Dataset:
        """Return the data in the network's dtype: once here, not at each forward pass."""
        x, t = data
        return np.ascontiguousarray(x, dtype=self._network.dtype), np.asarray(t)

    def _batches(self, data: Dataset) -> Iterator[Dataset]:
        """Yield one epoch's batches. All arithmetic is in integers.

        The book finds the end of an epoch with `i % max(N / batch_size, 1) == 0`; for 360 / 100
        that quotient is 3.6, and only a few of 50 epochs are ever noticed.
        """
        x, t = data
        order = self._rng.permutation(len(x))
        for start in range(0, len(x), self._batch_size):
            batch = order[start : start + self._batch_size]
            yield x.take(batch, axis=0), t.take(batch)

    def _metrics(self, evaluated: dict[str, Dataset]) -> dict[str, float]:
        metrics = {}
        for name, (x, t) in evaluated.items():
            loss, accuracy = self._network.evaluate(x, t)
            metrics[f"{name}_loss"] = float(loss)
            metrics[f"{name}_accuracy"] = float(accuracy)
        return metrics


def _silent() -> np.errstate:
    """A diverging network overflows; its metrics say so, a warning would say it again."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")
