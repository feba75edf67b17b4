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


def test_the_figure_shows_each_path_under_its_name(experiment) -> None:
    found = experiment(NAME)
    names = found.trials.set_index("trial")["params_optimizer"]
    panels = {ax.get_title(): ax for ax in found.figure().axes}
    zigzags = {line.get_label(): line for line in panels["three ways across the valley"].lines}
    assert set(zigzags) == {"sgd", "momentum", "adam"}
    for trial, path in found.curves.groupby("trial"):
        name = names[trial]
        walked, *_ = panels[f"{name}, lr {study.LEARNING_RATES[name]}"].lines
        assert list(walked.get_xdata()) == list(path["x"])
        assert list(walked.get_ydata()) == list(path["y"])
        if name in zigzags:
            assert list(zigzags[name].get_ydata()) == list(path["y"])


def test_a_wrong_first_step_is_measured_and_not_explained_away(experiment) -> None:
    found = experiment(NAME)
    moved = found.curves.assign(y=found.curves["y"] + 0.5 * (found.curves["step"] == 1))
    _, first_step = study.finding(found.trials, moved)
    assert not first_step.holds
    assert "largest difference 5.0e-01" in first_step.measured
