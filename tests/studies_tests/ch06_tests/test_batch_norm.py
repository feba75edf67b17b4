"""Batch normalization by scale, and what would be found if it had no effect."""

from __future__ import annotations

import pytest

from studies.ch06 import batch_norm as study

NAME = "batch-norm"


def test_what_the_book_says_holds(experiment) -> None:
    assert [finding.holds for finding in experiment(NAME).findings] == [True, True]


@pytest.mark.parametrize("kind", [True, False])
def test_it_is_not_found_where_batch_normalization_changes_nothing(kind: bool, experiment) -> None:
    found = experiment(NAME)
    same = study.finding(found.trials, found.as_if_all("batch_norm", were=kind, by="init"))
    assert [finding.holds for finding in same] == [False, False]


def test_a_diverged_network_counts_as_guessing(experiment) -> None:
    found = experiment(NAME)
    diverged = found.trials.query("diverged")
    assert len(diverged)
    accuracies = study.accuracies(found.trials, found.curves)
    assert len(accuracies) == len(found.trials)
    for _, trial in diverged.iterrows():
        known = accuracies.loc[trial["params_batch_norm"], trial["params_init"], trial["seed"]]
        assert (known.iloc[trial["steps"] :] == study.GUESSING).all()
