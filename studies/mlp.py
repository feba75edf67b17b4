"""The objective: train the network of `core` with one setting, and report each epoch.

A definition names `train`, `describe` and `test`. They take settings by name, the fixed and the
sampled ones in one mapping; `Settings` says which there are. Any other is refused: a misspelt
setting would be searched, or fixed, without any effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core import MLP, Trainer, optimizer
from hpo.errors import ObjectiveError
from hpo.objective import Description, Diverged, Run
from studies import splits
from studies.data import data_set
from studies.settings import Settings, check


def train(params: Mapping[str, Any], run: Run) -> float:
    """Train once and return the validation accuracy after the last epoch.

    The last one, as in the book, and not the best one of the curve: the highest of 50 noisy
    numbers tells more about the noise than about the setting.

    With `epochs`, each epoch reports train_loss, train_accuracy, val_loss and val_accuracy. With
    `iterations`, each update reports train_loss, that of its batch; the last one also val_loss
    and val_accuracy.

    Args:
        params: The settings by name; see `Settings`.
        run: Its seed decides weights, batches and dropout masks, and nothing else does. What its
            `report` raises ends the training and passes through: `Diverged` at the first loss
            that is not finite, `Pruned` at any step.

    Returns:
        The accuracy, in 0..1.

    Raises:
        ObjectiveError: A setting is unknown, missing or not possible.
        DataError: The data is missing, or does not allow the split.
    """
    settings = Settings.parse(params)
    return fit(*prepare(settings, run.seed), settings, run)


def describe(fixed: Mapping[str, Any]) -> Description:
    """Say how many images a study uses, and refuse the fixed settings that `train` would refuse.

    Args:
        fixed: The fixed settings by name. The sampled ones are not known here, so only `data`
            has to be among them.

    Returns:
        Sizes of the three parts, number of classes, and a fingerprint of data and split.

    Raises:
        ObjectiveError: A setting is unknown or not possible, or `data` is missing.
        DataError: The data is missing, or does not allow the split.
    """
    check(fixed)
    if "data" not in fixed:
        raise ObjectiveError("data is missing: without a fixed data set none can be described.")
    return splits.describe(
        fixed["data"],
        fixed.get("samples", Settings.samples),
        fixed.get("validation", Settings.validation),
        fixed.get("split_seed", Settings.split_seed),
    )


def test(params: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Train on training and validation images together, then evaluate on the test images.

    The only door to the test images; they are read after the training. The same number of epochs
    makes somewhat more updates than in the search, because there are more images.

    Args:
        params: The settings by name, as for `train`.
        seed: Decides weights, batches and dropout masks.

    Returns:
        `{"accuracy": …}` on the test images, in 0..1.

    Raises:
        Diverged: A loss is not finite.
        ObjectiveError: A setting is unknown, missing or not possible.
        DataError: The data is missing, or does not allow that many samples.
    """
    settings = Settings.parse(params)
    x, t = splits.load_train_and_validation(
        settings.data, samples=settings.samples, split_seed=settings.split_seed
    )
    network, trainer = _build(settings, inputs=x.shape[1], seed=seed)
    fit_silently(trainer, (x, t), settings)
    loss, accuracy = _evaluate(network, *splits.load_test(settings.data))
    _stop_unless_finite("test_loss", loss)
    return {"accuracy": accuracy}


def prepare(settings: Settings, seed: int) -> tuple[MLP, Trainer, splits.Split]:
    """Return the network of a setting, its trainer, and the data.

    Args:
        settings: The settings.
        seed: Decides weights, batches and dropout masks.

    Raises:
        DataError: The data is missing, or does not allow the split.
    """
    split = splits.load(
        settings.data,
        samples=settings.samples,
        validation=settings.validation,
        split_seed=settings.split_seed,
    )
    network, trainer = _build(settings, inputs=split.x_train.shape[1], seed=seed)
    return network, trainer, split


def fit(
    network: MLP,
    trainer: Trainer,
    split: splits.Split,
    settings: Settings,
    run: Run,
    *,
    also: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> float:
    """Train what `prepare` returned, report as `train` does, and return the last val_accuracy.

    Args:
        network: The network.
        trainer: Its trainer.
        split: The data.
        settings: The settings.
        run: Where steps are reported.
        also: Returns what a step reports besides.
    """
    score = math.nan

    def on_step(step: int, metrics: dict[str, float]) -> None:
        nonlocal score
        if step == settings.iterations:
            loss, accuracy = _evaluate(network, split.x_val, split.t_val)
            metrics = {**metrics, "val_loss": loss, "val_accuracy": accuracy}
        run.report(step, **metrics, **also(step))
        score = metrics.get("val_accuracy", math.nan)

    trainer.fit(
        (split.x_train, split.t_train),
        (split.x_val, split.t_val),
        epochs=settings.epochs,
        iterations=settings.iterations,
        on_step=on_step,
    )
    return score


def fit_silently(
    trainer: Trainer, data: tuple[splits.Images, splits.Labels], settings: Settings
) -> None:
    """Train without a report, as long as the loss is finite.

    Args:
        trainer: The trainer.
        data: What it trains on.
        settings: The settings.

    Raises:
        Diverged: A training loss is not finite.
    """

    def on_step(step: int, metrics: dict[str, float]) -> None:
        _stop_unless_finite("train_loss", metrics["train_loss"])

    trainer.fit(data, epochs=settings.epochs, iterations=settings.iterations, on_step=on_step)


def _build(settings: Settings, *, inputs: int, seed: int) -> tuple[MLP, Trainer]:
    """The network for images of so many pixels, and its trainer; both draw from one generator."""
    rng = np.random.default_rng(seed)
    network = MLP(
        (inputs, *settings.hidden_sizes, data_set(settings.data).classes),
        activation=settings.activation,
        init=settings.init,
        batch_norm=settings.batch_norm,
        dropout=settings.dropout,
        weight_decay=settings.weight_decay,
        rng=rng,
    )
    rule = optimizer(settings.optimizer, settings.lr, settings.momentum)
    return network, Trainer(network, rule, batch_size=settings.batch_size, rng=rng)


def _evaluate(network: MLP, x: splits.Images, t: splits.Labels) -> tuple[float, float]:
    """Loss and accuracy on images (N, D); as in core, a diverged network gives no warning."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        loss, accuracy = network.evaluate(x, t)
    return float(loss), float(accuracy)


def _stop_unless_finite(name: str, loss: float) -> None:
    if not math.isfinite(loss):
        raise Diverged(f"{name} is {loss}")
