"""How much of the differences each parameter makes: against what can be computed by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from made_trials import UNIT, noisy, sampled, swept, trial

from hpo.narrowing.evidence import Evidence
from hpo.narrowing.influence import influence
from hpo.space import Choice, Float, Space
from hpo.trial import Trial

CUBE = Space({"a": UNIT, "b": UNIT, "c": UNIT})


def shares(
    space: Space, trials: list[Trial], noise: float | None = None, **more: Any
) -> Mapping[str, float]:
    evidence = Evidence.of(space, trials, more.pop("direction", "maximize"), **more)
    return influence(evidence, noise, np.random.default_rng(0))


def test_shares_of_a_sum_are_those_of_its_variances() -> None:
    found = shares(CUBE, sampled(CUBE, lambda p: 2 * p["a"] + p["b"]))
    assert found["a"] == pytest.approx(0.8, abs=0.08)
    assert found["b"] == pytest.approx(0.2, abs=0.04)
    assert found["c"] < 0.001


def test_what_two_do_together_counts_for_both() -> None:
    # Of (a - 1/2)(b - 1/2), all the variance is that of the product.
    trials = sampled(CUBE, lambda p: (p["a"] - 0.5) * (p["b"] - 0.5), n=200)
    found = shares(CUBE, trials)
    assert [found["a"], found["b"]] == pytest.approx([1.0, 1.0], abs=0.15)


def test_noise_is_no_influence() -> None:
    trials = sampled(CUBE, noisy(lambda p: p["a"], 0.3))
    found = shares(CUBE, trials, 0.3)
    assert found["a"] > 0.9
    assert max(found["b"], found["c"]) < 0.05


def test_the_direction_does_not_matter() -> None:
    trials = sampled(CUBE, lambda p: 2 * p["a"] + p["b"])
    up, down = shares(CUBE, trials), shares(CUBE, trials, direction="minimize")
    assert list(up.values()) == pytest.approx(list(down.values()), abs=0.05)


def test_a_parameter_is_judged_where_it_exists() -> None:
    space = Space({"kind": Choice(("x", "y")), "momentum": Float(0, 1, when={"kind": ("y",)})})
    trials = sampled(space, lambda p: p.get("momentum", 0.5), n=200)
    found = shares(space, trials)
    assert found["momentum"] == pytest.approx(1.0, abs=0.15)


def test_replicates_count_with_their_mean() -> None:
    rng = random.Random(0)
    trials = []
    for i in range(30):
        setting = {"a": rng.random(), "b": rng.random(), "c": rng.random()}
        trials += [trial(4 * i + r, setting, setting["a"] + rng.gauss(0, 0.5)) for r in range(4)]
    several = shares(CUBE, trials, 0.5, replicates=4)
    assert several["a"] > 0.7


def test_a_constant_has_no_shares() -> None:
    assert shares(Space({"x": UNIT}), swept(UNIT, lambda x: 0.5)) == {}
