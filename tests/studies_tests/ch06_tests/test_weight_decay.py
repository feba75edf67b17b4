"""Weight decay, its norms, and what would be found if it had no effect."""

from __future__ import annotations

import numpy as np
import pytest

from core import MLP
from studies.ch06 import weight_decay as study

NAME = "weight-decay"


def test_what_the_book_says_holds(experiment) -> None:
    assert [finding.holds for finding in experiment(NAME).findings] == [True, True, True]


def test_it_is_not_found_where_weight_decay_changes_nothing(experiment) -> None:
    found = experiment(NAME)
    same = study.finding(found.trials, found.as_if_all("weight_decay", were=0))
    assert [finding.holds for finding in same] == [False, False, False]


def test_the_norms_are_those_of_all_weights_and_of_no_bias() -> None:
    network = MLP((2, 1, 2), rng=np.random.default_rng(0))
    network.params["W1"][...] = [[3], [-4]]
    network.params["W2"][...] = [[0, 12]]
    network.params["b1"][...] = 100
    assert study.norms(network) == pytest.approx({"l1": 19, "l2": 13, "l_inf": 12})
