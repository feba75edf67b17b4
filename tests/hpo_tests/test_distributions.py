"""Our distributions and values against Optuna's own."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from hpo.space import Axis, Choice, Space
from hpo.space_parsing import parse_space
from hpo.store.distributions import distribution_json, from_row, to_rows

PAIRS: dict[str, tuple[dict[str, object], BaseDistribution]] = {
    "float": ({"low": -1.5, "high": 2.0}, FloatDistribution(-1.5, 2.0)),
    "log": ({"low": 1e-6, "high": 1e-2, "log": True}, FloatDistribution(1e-6, 1e-2, log=True)),
    "step": ({"low": 0.0, "high": 1.0, "step": 0.25}, FloatDistribution(0.0, 1.0, step=0.25)),
    "int": ({"low": 1, "high": 9}, IntDistribution(1, 9)),
    "log int": ({"low": 1, "high": 1024, "log": True}, IntDistribution(1, 1024, log=True)),
    "int step": ({"low": 16, "high": 256, "step": 16}, IntDistribution(16, 256, step=16)),
    "one value": ({"low": 3, "high": 4}, IntDistribution(3, 4)),
    "words": ({"choices": ["sgd", "adam"]}, CategoricalDistribution(["sgd", "adam"])),
    "mixed": (
        {"choices": [1, 1.5, True, False, "λ"]},
        CategoricalDistribution([1, 1.5, True, False, "λ"]),
    ),
}
SPACE = parse_space({name.replace(" ", "_"): raw for name, (raw, _) in PAIRS.items()})


def axis_of(name: str) -> Axis:
    return SPACE[name.replace(" ", "_")]


@pytest.mark.parametrize("name", PAIRS)
def test_the_text_is_optunas(name: str) -> None:
    _, theirs = PAIRS[name]
    assert distribution_json(axis_of(name)) == distribution_to_json(theirs)
    assert json_to_distribution(distribution_json(axis_of(name))) == theirs


@pytest.mark.parametrize(
    ("raw", "high"),
    [
        ({"low": 16, "high": 250, "step": 16}, 240),
        ({"low": 0.0, "high": 1.0, "step": 0.3}, 0.9),
        ({"low": 0.1, "high": 0.5, "step": 0.1}, 0.5),
    ],
)
@pytest.mark.filterwarnings("error")  # Optuna warns of a limit that it has to move
def test_the_upper_limit_lies_on_the_lattice(raw: dict[str, float], high: float) -> None:
    theirs = json_to_distribution(distribution_json(parse_space({"x": raw})["x"]))
    assert isinstance(theirs, FloatDistribution | IntDistribution)
    assert theirs.high == pytest.approx(high)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(PAIRS), max_size=len(PAIRS)))
def test_every_value_comes_back_as_it_was(position: list[float]) -> None:
    params = SPACE.from_unit(position)
    for name, internal, text in to_rows(SPACE, params):
        back = from_row(internal, text)
        assert (back, type(back)) == (params[name], type(params[name]))
        # and Optuna reads the same
        theirs = json_to_distribution(text).to_external_repr(internal)
        assert (theirs, type(theirs)) == (params[name], type(params[name]))
        assert json_to_distribution(text)._contains(internal)


def test_only_the_given_parameters_have_rows() -> None:
    space = parse_space(
        {
            "optimizer": {"choices": ["sgd", "momentum"]},
            "momentum": {"low": 0.1, "high": 0.9, "when": {"optimizer": "momentum"}},
        }
    )
    assert [row[0] for row in to_rows(space, {"optimizer": "sgd"})] == ["optimizer"]
    rows = to_rows(space, {"optimizer": "momentum", "momentum": 0.5})
    assert [(name, value) for name, value, _ in rows] == [("optimizer", 1.0), ("momentum", 0.5)]


@pytest.mark.parametrize("value", [True, 1])
def test_true_and_one_are_two_choices(value: object) -> None:
    space = Space({"c": Choice((1, True))})
    ((_, internal, text),) = to_rows(space, {"c": value})
    assert from_row(internal, text) is value


def test_the_text_is_plain_json() -> None:
    for name in PAIRS:
        content = json.loads(distribution_json(axis_of(name)), parse_constant=pytest.fail)
        assert set(content) == {"name", "attributes"}
        assert all(math.isfinite(v) for v in content["attributes"].values() if isinstance(v, float))
