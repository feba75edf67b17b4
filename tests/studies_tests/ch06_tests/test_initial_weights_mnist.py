"""The initial weights' scale, and what would be found if it did not matter."""

from __future__ import annotations

from studies.ch06 import initial_weights_mnist as study

NAME = "initial-weights-mnist"


def test_what_the_book_says_holds(experiment) -> None:
    assert [finding.holds for finding in experiment(NAME).findings] == [True, True]


def test_it_is_not_found_where_the_effect_is_absent(experiment) -> None:
    found = experiment(NAME)
    same = found.as_if_all("init", were="he")
    assert [finding.holds for finding in study.finding(found.trials, same)] == [False, False]
