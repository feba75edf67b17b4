"""The settings of one training run: which there are, and what each of them may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from hpo.errors import ObjectiveError


@dataclass(frozen=True)
class Settings:
    """Everything that decides a training run, but for its seed.

    The hidden layers are given by `hidden`, or by `layers` and `width`; the length of the
    training by `epochs`, or by `iterations`.

    Args:
        data: Name of the data set.
        lr: Learning rate.
        hidden: Units of each hidden layer; an empty list makes a linear classifier.
        layers: Number of hidden layers of `width` units each.
        width: Units of each of these.
        epochs: How often to walk through the training images.
        iterations: How many batches to train on.
        samples: Use the first so many images of the training file; None uses all.
        validation: Share of these that validates; or "held-out": all of these train, and the last
            images of the training file validate.
        split_seed: Seed of the order in which they are split, which no run's seed changes.
        activation: "relu", "sigmoid" or "tanh".
        init: "he", "xavier" or "zeros", or the standard deviation of all weights.
        optimizer: "sgd", "momentum", "nesterov", "adagrad", "rmsprop" or "adam".
        momentum: μ of "momentum" and "nesterov"; the others have none and pass it over.
        weight_decay: λ; the loss gains ½ λ Σ W².
        dropout: Share of each hidden layer's outputs that is set to 0 in training.
        batch_norm: Whether to normalize before each activation.
        batch_size: Images per update.
    """

    data: str
    lr: float
    hidden: tuple[int, ...] | None = None
    layers: int | None = None
    width: int | None = None
    epochs: int | None = None
    iterations: int | None = None
    samples: int | None = None
    validation: float | str = 0.2
    split_seed: int = 0
    activation: str = "relu"
    init: str | float = "he"
    optimizer: str = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    dropout: float = 0.0
    batch_norm: bool = False
    batch_size: int = 100

    @classmethod
    def parse(cls, params: Mapping[str, Any]) -> Settings:
        """Read the settings of one trial.

        Raises:
            ObjectiveError: Names the setting that is unknown, missing or not possible, or the two
                that do not go together.
        """
        check(params)
        for name in ("data", "lr"):
            if name not in params:
                raise ObjectiveError(f"{name} is missing: it must be {_ALLOWED[name][0]}.")
        if "hidden" not in params and not {"layers", "width"} <= params.keys():
            raise ObjectiveError("The network has no size: give hidden, or both layers and width.")
        if not params.keys() & {"epochs", "iterations"}:
            raise ObjectiveError("The training has no length: give epochs or iterations.")
        if "hidden" in params:
            params = {**params, "hidden": tuple(params["hidden"])}
        return cls(**params)

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Units of each hidden layer, however they were given."""
        if self.hidden is not None:
            return self.hidden
        assert self.layers is not None
        assert self.width is not None
        return (self.width,) * self.layers


def check(params: Mapping[str, Any]) -> None:
    """Check the settings that are there; nothing has to be there.

    Raises:
        ObjectiveError: As `Settings.parse`, but never for a missing setting.
    """
    for name, value in params.items():
        if name not in _NAMES:
            raise ObjectiveError(f"There is no setting '{name}'. There are: {', '.join(_NAMES)}.")
        if name in _ALLOWED:
            allowed, holds = _ALLOWED[name]
            if not holds(value):
                raise ObjectiveError(f"{name} = {value!r} is not possible: it must be {allowed}.")
    for one, other, advice in _EITHER_OR:
        if one in params and other in params:
            raise ObjectiveError(f"{one} and {other} do not go together: give {advice}.")


_NAMES = tuple(field.name for field in fields(Settings))

_EITHER_OR = (
    ("hidden", "layers", "hidden, or both layers and width"),
    ("hidden", "width", "hidden, or both layers and width"),
    ("epochs", "iterations", "one of them"),
)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _one_of(*names: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(names)}", lambda value: value in names


_COUNT = ("a whole number of 1 or more", _count)
_INITIALIZERS = ("he", "xavier", "zeros")

# By setting, what it must be, in words and as a test. Of samples, validation and split_seed the
# splits know what is possible: it depends on the data.
_ALLOWED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "data": ("the name of a data set", lambda value: isinstance(value, str)),
    "lr": ("a number above 0", lambda value: _number(value) and value > 0),
    "hidden": (
        "a list of whole numbers of 1 or more",
        lambda value: isinstance(value, list | tuple) and all(map(_count, value)),
    ),
    "layers": _COUNT,
    "width": _COUNT,
    "epochs": _COUNT,
    "iterations": _COUNT,
    "activation": _one_of("relu", "sigmoid", "tanh"),
    "init": (
        f"one of {', '.join(_INITIALIZERS)}, or a standard deviation of 0 or more",
        lambda value: value in _INITIALIZERS or (_number(value) and value >= 0),
    ),
    "optimizer": _one_of("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"),
    "momentum": ("a number from 0 to below 1", lambda value: _number(value) and 0 <= value < 1),
    "weight_decay": ("a number of 0 or more", lambda value: _number(value) and value >= 0),
    "dropout": ("a number from 0 to below 1", lambda value: _number(value) and 0 <= value < 1),
    "batch_norm": ("true or false", lambda value: isinstance(value, bool)),
    "batch_size": _COUNT,
}


def without(params: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return settings without those that an experiment has of its own."""
    return {name: value for name, value in params.items() if name not in names}
