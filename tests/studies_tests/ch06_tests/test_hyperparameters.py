"""The book's search, and what is found when its range is narrowed or widened."""

from __future__ import annotations

import pandas as pd
import pytest

from studies.ch06 import hyperparameters as study

NAME = "hyperparameters"


def test_what_the_book_says_holds(experiment) -> None:
    """One stage says nothing about what lies outside its range."""
    assert [finding.holds for finding in experiment(NAME).findings] == [True]


def test_it_is_not_found_where_lr_does_not_matter(experiment) -> None:
    found = experiment(NAME)
    shuffled = found.trials.sample(frac=1, random_state=0)["value"].to_numpy()
    (finding,) = study.finding(found.trials.assign(value=shuffled), found.curves)
    assert not finding.holds


@pytest.mark.parametrize(
    ("factor", "gain", "holds"), [(30.0, 0.5, True), (0.1, 0.5, False), (30.0, -0.5, False)]
)
def test_better_ones_are_found_outside_only_if_they_are(
    factor: float, gain: float, holds: bool, experiment
) -> None:
    found = experiment(NAME)
    first = found.trials
    later = first.assign(
        stage=2, params_lr=first["params_lr"] * factor, value=first["value"] + gain
    )
    outside = study.finding(pd.concat([first, later]), found.curves)[1]
    assert outside.holds == holds
