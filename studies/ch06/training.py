"""The parts of `studies.mlp:train`, for experiments that look into the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core import MLP, Trainer
from studies import splits
from studies.mlp import _build
from studies.settings import Settings


def prepare(params: Mapping[str, Any], seed: int) -> tuple[MLP, Trainer, splits.Split]:
    """Return the network of a setting, its trainer, and the data.

    Args:
        params: The settings by name; see `Settings`.
        seed: Decides weights, batches and dropout masks.

    Raises:
        ObjectiveError: A setting is unknown, missing or not possible.
        DataError: The data is missing, or does not allow the split.
    """
    settings = Settings.parse(params)
    split = splits.load(
        settings.data,
        samples=settings.samples,
        validation=settings.validation,
        split_seed=settings.split_seed,
    )
    network, trainer = _build(settings, inputs=split.x_train.shape[1], seed=seed)
    return network, trainer, split
