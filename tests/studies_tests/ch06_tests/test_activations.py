"""What arrives in untrained layers, and what would be found if all networks gave the same."""

from __future__ import annotations

import numpy as np
import pytest

from studies.ch06 import activations as study

NAME = "activations"


def test_what_the_book_says_holds(experiment) -> None:
    assert [finding.holds for finding in experiment(NAME).findings] == [True] * 6


def test_it_is_not_found_where_all_networks_give_the_same(experiment) -> None:
    found = experiment(NAME)
    same = study.finding(found.trials, found.as_if_all("network", were="sigmoid xavier"))
    assert [finding.holds for finding in same] == [False] * 6


def test_the_first_layers_are_what_the_normal_distribution_gives(experiment) -> None:
    """Inputs and weights are normal: with Xavier the sum into a unit has a deviation of 1."""
    found = experiment(NAME)
    first = (
        found.curves.query("step == 1")
        .merge(found.trials, on="trial")
        .groupby("params_network")
        .mean(numeric_only=True)
    )
    z = np.random.default_rng(0).standard_normal(100_000)
    assert first["std"]["sigmoid xavier"] == pytest.approx(np.std(1 / (1 + np.exp(-z))), rel=0.05)
    assert first["std"]["tanh xavier"] == pytest.approx(np.std(np.tanh(z)), rel=0.05)
    assert first["std"]["relu he"] == pytest.approx(2**0.5 * np.std(np.maximum(z, 0)), rel=0.05)
    assert first["saturated"]["relu he"] == pytest.approx(0.5, abs=0.02)


def test_a_histogram_holds_all_outputs_in_its_limits(experiment) -> None:
    found = experiment(NAME)
    steps = found.curves.merge(found.trials, on="trial")
    bounded = steps[~steps["params_network"].str.startswith("relu")]
    np.testing.assert_allclose(bounded[study.BINS].sum(axis="columns"), 1)
    assert (steps[study.BINS].sum(axis="columns") < 1 + 1e-9).all()


def test_a_bell_is_a_bell_at_any_width() -> None:
    draws = np.random.default_rng(0).standard_normal(20_000)
    assert study.off_bell(3 + 0.01 * draws) < 0.02
    assert study.off_bell(np.sign(draws)) > 0.2
