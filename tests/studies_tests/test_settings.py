"""Settings: what is refused, each with its sentence, and that `core` takes what is not."""

import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import core
from hpo.errors import ObjectiveError
from studies import settings
from studies.settings import Settings, check

GOOD: dict[str, Any] = {"data": "digits", "lr": 0.1, "hidden": [20], "epochs": 2}


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in (GOOD | more).items() if name not in names}


def test_the_defaults() -> None:
    assert Settings.parse(GOOD) == Settings(
        data="digits",
        lr=0.1,
        hidden=(20,),
        layers=None,
        width=None,
        epochs=2,
        iterations=None,
        samples=None,
        validation=0.2,
        split_seed=0,
        activation="relu",
        init="he",
        optimizer="sgd",
        momentum=0.9,
        weight_decay=0.0,
        dropout=0.0,
        batch_norm=False,
        batch_size=100,
    )


def test_hidden_sizes_in_both_ways() -> None:
    assert Settings.parse(without(hidden=[30, 20])).hidden_sizes == (30, 20)
    assert Settings.parse(without(hidden=[])).hidden_sizes == ()
    assert Settings.parse(without("hidden", layers=3, width=10)).hidden_sizes == (10, 10, 10)


def test_params_are_left_as_they_are() -> None:
    params = without(hidden=[30, 20])
    Settings.parse(params)
    assert params == without(hidden=[30, 20])


NO_COUNT = "it must be a whole number of 1 or more."
NO_SHARE = "it must be a number from 0 to below 1."


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("data", 3, "it must be the name of a data set."),
        ("lr", 0, "it must be a number above 0."),
        ("lr", float("nan"), "it must be a number above 0."),
        ("lr", float("inf"), "it must be a number above 0."),
        ("lr", "0.1", "it must be a number above 0."),
        ("lr", True, "it must be a number above 0."),
        ("hidden", 100, "it must be a list of whole numbers of 1 or more."),
        ("hidden", [100, 0], "it must be a list of whole numbers of 1 or more."),
        ("hidden", [100.0], "it must be a list of whole numbers of 1 or more."),
        ("layers", 0, NO_COUNT),
        ("width", 50.0, NO_COUNT),
        ("epochs", "5", NO_COUNT),
        ("epochs", None, NO_COUNT),
        ("iterations", -1, NO_COUNT),
        ("batch_size", True, NO_COUNT),
        ("activation", "ReLU", "it must be one of relu, sigmoid, tanh."),
        ("init", "her", "it must be one of he, xavier, zeros, or a standard deviation of 0 or"),
        ("init", -0.1, "it must be one of he, xavier, zeros, or a standard deviation of 0 or"),
        ("optimizer", "sdg", "it must be one of sgd, momentum, nesterov, adagrad, rmsprop, adam."),
        ("optimizer", ["sgd"], "it must be one of sgd, momentum, nesterov, adagrad, rmsprop"),
        ("momentum", 1, NO_SHARE),
        ("dropout", -0.1, NO_SHARE),
        ("dropout", 1.0, NO_SHARE),
        ("weight_decay", -1e-9, "it must be a number of 0 or more."),
        ("batch_norm", "yes", "it must be true or false."),
        ("batch_norm", 1, "it must be true or false."),
    ],
)
def test_impossible_values_are_refused(name: str, value: Any, allowed: str) -> None:
    message = f"{name} = {value!r} is not possible: {allowed}"
    for refuse in (Settings.parse, check):
        with pytest.raises(ObjectiveError, match=re.escape(message)):
            refuse(without(**{name: value}))


def test_an_unknown_setting_is_refused() -> None:
    message = "There is no setting 'epoch'. There are: data, lr, hidden, layers, width, epochs, "
    for refuse in (Settings.parse, check):
        with pytest.raises(ObjectiveError, match=re.escape(message)):
            refuse(without(epoch=5))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"layers": 2}, "hidden and layers do not go together: give hidden, or both layers and"),
        ({"width": 9}, "hidden and width do not go together: give hidden, or both layers and"),
        ({"iterations": 9}, "epochs and iterations do not go together: give one of them."),
    ],
)
def test_settings_that_exclude_each_other_are_refused(more: dict[str, int], message: str) -> None:
    for refuse in (Settings.parse, check):
        with pytest.raises(ObjectiveError, match=message):
            refuse(without(**more))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (without("data"), "data is missing: it must be the name of a data set."),
        (without("lr"), "lr is missing: it must be a number above 0."),
        (without("hidden"), "The network has no size: give hidden, or both layers and width."),
        (without("hidden", layers=2), "The network has no size: give hidden, or both layers and"),
        (without("epochs"), "The training has no length: give epochs or iterations."),
    ],
)
def test_missing_settings_are_refused_in_a_trial_only(params: dict[str, Any], message: str) -> None:
    check(params)
    with pytest.raises(ObjectiveError, match=message):
        Settings.parse(params)


def test_every_value_is_checked_here_or_by_the_splits() -> None:
    checked_by_the_splits = {"samples", "validation", "split_seed"}
    names = {field.name for field in fields(Settings)}
    assert settings._ALLOWED.keys() == names - checked_by_the_splits


def test_the_names_are_those_of_core() -> None:
    def names(setting: str) -> str:
        return settings._ALLOWED[setting][0].removeprefix("one of ")

    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=f"choose {names('optimizer')}$"):
        core.optimizer("?", 0.1)
    with pytest.raises(ValueError, match=f"choose {names('activation')}$"):
        core.MLP((1, 1), activation="?", rng=rng)
    with pytest.raises(ValueError, match=f"choose {names('init').split(', or')[0]} or a standard"):
        core.initializer("?")
