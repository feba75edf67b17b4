"""The optimism of a choice, and what would be found if there were none."""

from __future__ import annotations

import pandas as pd
import pytest

from studies.ch06 import validation_split as study

NAME = "validation-split"


def test_what_the_book_says_holds(experiment) -> None:
    assert experiment(NAME).findings[0].holds


def test_it_is_not_found_where_all_images_say_the_same(experiment) -> None:
    found = experiment(NAME)
    mean = found.curves.groupby("trial")["val_accuracy"].transform("mean")
    same = study.finding(found.trials, found.curves.assign(val_accuracy=mean))
    assert [finding.holds for finding in same] == [False, False, False]


def test_a_choice_is_made_in_one_half_and_checked_in_the_other() -> None:
    trials = pd.DataFrame({"trial": [0, 1], "seed": 7})
    accuracies = {0: [1.0] * 5 + [0.2] * 5, 1: [0.5] * 10}
    curves = pd.DataFrame(
        [
            (trial, step, score, 20)
            for trial in accuracies
            for step, score in enumerate(accuracies[trial])
        ],
        columns=["trial", "step", "val_accuracy", "images"],
    )
    whole = study.choices(trials, curves).query("images == 100")
    assert list(whole["chosen"]) == [1.0, 0.5]
    assert list(whole["independent"]) == [0.2, 0.5]
    assert list(whole["optimism"]) == pytest.approx([0.8, 0])
