"""Grid and random search over one parameter that matters and one that does not."""

from __future__ import annotations

import pytest

from studies.ch06 import grid_vs_random as study

NAME = "grid-vs-random"


def test_what_the_book_says_holds(experiment) -> None:
    assert [finding.holds for finding in experiment(NAME).findings] == [True, True]


@pytest.mark.parametrize("kind", ["grid", "random"])
def test_it_is_not_found_where_both_try_the_same_points(kind: str, experiment) -> None:
    found = experiment(NAME)
    same = study.finding(found.trials, found.as_if_all("search", were=kind, by="points"))
    assert [finding.holds for finding in same] == [False, False]


def test_a_grid_tries_the_root_of_its_points_random_tries_all(experiment) -> None:
    found = experiment(NAME)
    points = found.curves.merge(found.trials, on="trial").groupby(
        ["params_search", "params_points", "seed"]
    )
    values = points["important"].nunique().groupby(["params_search", "params_points"]).unique()
    assert {key: list(counts) for key, counts in values.items()} == {
        ("grid", 9): [3],
        ("grid", 25): [5],
        ("random", 9): [9],
        ("random", 25): [25],
    }


def test_the_optimum_is_one_for_both_searches_and_another_for_each_seed(experiment) -> None:
    found = experiment(NAME)
    optima = found.curves.merge(found.trials[["trial", "seed"]]).groupby("seed")["optimum"]
    assert (optima.nunique() == 1).all()
    assert optima.first().nunique() == len(optima)
