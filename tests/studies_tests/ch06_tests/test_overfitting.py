"""A network that learns by heart, and what would be found if it did not."""

from __future__ import annotations

from studies.ch06 import overfitting as study

NAME = "overfitting"


def test_what_the_book_says_holds(experiment) -> None:
    assert [finding.holds for finding in experiment(NAME).findings] == [True]


def test_it_is_not_found_where_held_out_images_are_recognized_as_well(experiment) -> None:
    found = experiment(NAME)
    same = found.curves.assign(val_accuracy=found.curves["train_accuracy"])
    assert not study.finding(found.trials, same).holds
