"""Equal initial weights, and what would be found if they learned as random ones do."""

from __future__ import annotations

import numpy as np
import pytest

from studies.ch06 import zero_weights as study

NAME = "zero-weights"


def test_what_the_book_says_holds(experiment) -> None:
    """How far a constant gets is a matter of time, and for the study to say."""
    equal, zeros, _ = experiment(NAME).findings
    assert equal.holds
    assert zeros.holds


@pytest.mark.parametrize("start", ["zeros", "random"])
def test_it_is_not_found_where_all_starts_do_the_same(start: str, experiment) -> None:
    found = experiment(NAME)
    same = study.finding(found.trials, found.as_if_all("start", were=start))
    assert [finding.holds for finding in same] == [False] * 3


def test_a_constant_learns_other_weights_than_it_began_with(experiment) -> None:
    """Else its units would be equal because nothing had happened to them."""
    found = experiment(NAME)
    losses = found.curves.merge(found.trials, on="trial").pivot(
        index=["seed", "step"], columns="params_start", values="train_loss"
    )
    assert (losses["constant"] - losses["zeros"]).abs().groupby("seed").max().min() > 1e-5


def test_units_are_counted_by_their_weights() -> None:
    random = np.random.default_rng(0).normal(size=(8, 5))
    assert study.distinct_units(random) == 5
    assert study.distinct_units(np.zeros((8, 5))) == 1
    equal = np.repeat(random[:, :1], 5, axis=1)
    assert study.distinct_units(equal * (1 + 1e-6 * random)) == 1
    equal[0, 2] += 1
    assert study.distinct_units(equal) == 2
    equal[0, 4] += 1
    assert study.distinct_units(equal) == 2
    equal[0, 1] -= 1
    assert study.distinct_units(equal) == 3
