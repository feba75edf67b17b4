"""The book's search, and what is found when its range is narrowed or widened."""

from __future__ import annotations

import pandas as pd
import pytest

from studies.ch06 import hyperparameters as study

NAME = "hyperparameters"


def test_what_the_book_says_holds(experiment) -> None:
    """One stage says nothing about what lies outside its range."""
    learning_rate, _ = experiment(NAME).findings
    assert learning_rate.holds


def test_it_is_not_found_where_lr_does_not_matter(experiment) -> None:
    found = experiment(NAME)
    shuffled = found.trials.sample(frac=1, random_state=0)["value"].to_numpy()
    learning_rate, _ = study.finding(found.trials.assign(value=shuffled), found.curves)
    assert not learning_rate.holds


@pytest.mark.parametrize(("better", "holds"), [(1, True), (0, False), (-1, False)])
def test_weight_decay_is_found_to_matter_only_where_it_does(
    better: int, holds: bool, experiment
) -> None:
    found = experiment(NAME)
    low = found.trials["params_weight_decay"] < 1e-6
    values = found.trials["value"].rank() / 1000 + better * low
    _, weight_decay = study.finding(found.trials.assign(value=values), found.curves)
    assert weight_decay.holds == holds


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
    outside = study.finding(pd.concat([first, later]), found.curves)[-1]
    assert outside.holds == holds


@pytest.mark.parametrize("count", [1, 4, 19])
def test_few_trials_tell_nothing_of_weight_decay(count: int, experiment) -> None:
    found = experiment(NAME)
    few = found.trials.head(count).assign(params_weight_decay=1e-7, params_lr=5e-3)
    learning_rate, weight_decay = study.finding(few, found.curves)
    assert f"of the best {count}, {count} lie there" in weight_decay.measured
    assert f"the best {min(count, 5)} of {count} have lr" in learning_rate.measured
    assert learning_rate.holds == (count >= 5)
    assert weight_decay.holds == (count >= 15)


@pytest.mark.parametrize("hook", [study.finding, study.figure])
def test_a_parameter_that_was_set_is_named(hook, experiment) -> None:
    found = experiment(NAME)
    with pytest.raises(ValueError, match="lr was set, not searched"):
        hook(found.trials.drop(columns="params_lr"), found.curves)


def test_later_trials_that_all_diverged_say_nothing(experiment) -> None:
    found = experiment(NAME)
    later = found.trials.assign(stage=2, diverged=True)
    assert len(study.finding(pd.concat([found.trials, later]), found.curves)) == 2


def test_the_figure_tells_diverged_trials_from_bad_ones(experiment) -> None:
    found = experiment(NAME)
    diverged = found.trials["trial"] < 3
    (ax,) = study.figure(found.trials.assign(diverged=diverged), found.curves).axes
    drawn = {dots.get_label(): dots.get_offsets()[:, 1].tolist() for dots in ax.collections}
    assert drawn["stage 1"] == found.trials[~diverged]["value"].tolist()
    assert drawn[f"diverged (3 of {len(diverged)})"] == found.trials[diverged]["value"].tolist()


def test_the_figure_shows_each_stage_however_many_there_are(experiment) -> None:
    found = experiment(NAME)
    stages = pd.concat([found.trials.assign(stage=number) for number in range(1, 8)])
    (ax,) = study.figure(stages, found.curves).axes
    names = {dots.get_label() for dots in ax.collections}
    assert {f"stage {number}" for number in range(1, 8)} <= names
