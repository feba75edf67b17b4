"""The definitions that come with the package."""

from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from hpo.definition import Definition, load_definition
from hpo.space import Choice
from hpo.worker import import_name
from studies.data import MNIST
from studies.settings import Settings, check

NAMES = ["digits", "mnist", "mnist-book"]


def load(name: str) -> Definition:
    return load_definition(Path(str(files("studies"))) / f"{name}.toml")


def test_entry_points_name_all_of_them() -> None:
    found = {point.name: point.value for point in entry_points(group="hpo.definitions")}
    assert {name: f"studies:{name}.toml" for name in NAMES}.items() <= found.items()
    there = {file.name for file in files("studies").iterdir() if file.name.endswith(".toml")}
    assert there == {f"{name}.toml" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_they_load_and_their_functions_import(name: str) -> None:
    definition = load(name)
    assert definition.name == name
    assert (definition.metric, definition.direction) == ("val_accuracy", "maximize")
    for key in ("objective", "describe", "test"):
        import_name(key, getattr(definition, key), None)
    quick = definition.quickened()
    assert definition.search.trials == 100
    assert quick.search.trials <= 12


@pytest.mark.parametrize("name", NAMES)
def test_every_corner_of_their_ranges_is_a_setting(name: str) -> None:
    definition = load(name)
    fixed = dict(definition.fixed or {})
    check(fixed)
    for u in (0.0, 0.5, 1.0):
        params = definition.space.from_unit([u] * len(definition.space))
        Settings.parse({**fixed, **params})
    for parameter, axis in definition.space.axes.items():
        edges: Any = axis.choices if isinstance(axis, Choice) else (axis.low, axis.high)
        for value in (*edges, *(definition.limits or {}).get(parameter, ())):
            check({parameter: value})


@pytest.mark.parametrize(("name", "samples"), [("digits", None), ("mnist-book", 500)])
def test_the_book_s_search(name: str, samples: int | None) -> None:
    definition = load(name)
    assert definition.space.to_json() == {
        "lr": {"low": 1e-6, "high": 1e-2, "log": True},
        "weight_decay": {"low": 1e-8, "high": 1e-4, "log": True},
    }
    assert Settings.parse({**(definition.fixed or {}), "lr": 0.01}) == Settings(
        data=name.removesuffix("-book"),
        samples=samples,
        validation=0.2,
        hidden=(100,) * 6,
        activation="relu",
        init="he",
        optimizer="sgd",
        lr=0.01,
        batch_size=100,
        epochs=50,
    )
    assert (definition.search.sampler, definition.search.seed) == ("random", 0)


def test_mnist_searches_what_the_design_says() -> None:
    definition = load("mnist")
    assert set(definition.space) == {
        "lr", "weight_decay", "optimizer", "momentum", "width", "layers", "batch_norm", "dropout",
    }  # fmt: skip
    assert definition.fixed is not None
    assert definition.fixed["samples"] == 10_000 <= MNIST.train_size
    assert (definition.fixed["validation"], definition.fixed["epochs"]) == (0.2, 20)
    assert definition.limits is not None
    assert definition.limits["dropout"] == (0.0, 0.9)
