"""Six ways down a valley, and what would be found if they were all alike."""

from __future__ import annotations

import pandas as pd
import pytest

from studies.ch06 import optimizer_paths as study

NAME = "optimizer-paths"


def test_what_the_book_says_holds(experiment) -> None:
    assert [finding.holds for finding in experiment(NAME).findings] == [True, True]


@pytest.mark.parametrize("like", ["adagrad", "sgd"])
def test_it_is_not_found_where_all_are_alike(like: str, experiment) -> None:
    found = experiment(NAME)
    trial = found.trials.set_index("params_optimizer")["trial"][like]
    path = found.curves[found.curves["trial"] == trial].set_index("step")
    same = found.curves.assign(
        x=found.curves["step"].map(path["x"]), y=found.curves["step"].map(path["y"])
    )
    assert [finding.holds for finding in study.finding(found.trials, same)] == [False, False]


def test_a_later_stage_changes_nothing(experiment) -> None:
    found = experiment(NAME)
    later = found.trials.assign(stage=2), found.curves.assign(stage=2, y=1.0)
    trials = pd.concat([found.trials, later[0]])
    curves = pd.concat([found.curves, later[1]])
    assert study.finding(trials, curves) == study.finding(found.trials, found.curves)
