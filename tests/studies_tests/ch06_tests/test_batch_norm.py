"""Batch normalization by scale, and what would be found if it had no effect."""

from __future__ import annotations

import numpy as np
import pytest

from studies.ch06 import batch_norm as study

NAME = "batch-norm"


def test_what_the_book_says_holds(experiment) -> None:
    found = experiment(NAME)
    assert [finding.holds for finding in found.findings] == [True, True]
    diverged = found.trials.query("diverged and not params_batch_norm")
    assert len(diverged) == found.trials["diverged"].sum()
    assert (
        f"without it {len(diverged)} of 16 networks, with it 0 of 16" in found.findings[1].measured
    )


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


@pytest.mark.parametrize("count", [1, 3, 6, 8])
def test_each_scale_has_its_panel_however_many_there_are(count: int, experiment) -> None:
    found = experiment(NAME)
    scales = sorted(found.trials["params_init"].unique())[-count:]
    trials = found.trials[found.trials["params_init"].isin(scales)]
    curves = found.curves[found.curves["trial"].isin(trials["trial"])]
    panels = [ax for ax in study.figure(trials, curves).axes if ax.axison]
    assert [ax.get_title() for ax in panels] == [
        f"standard deviation {scale:.2g}" for scale in scales[::-1]
    ]


def test_the_figure_shows_each_kind_under_its_name(experiment) -> None:
    found = experiment(NAME)
    means = study.accuracies(found.trials, found.curves).groupby(["batch_norm", "init"]).mean()
    panels = [ax for ax in found.figure().axes if ax.axison]
    legend = panels[0].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert names[:2] == ["with batch normalization", "without"]
    with_it, without, *_ = legend.get_lines()
    colours = {True: with_it.get_color(), False: without.get_color()}
    scales = means.index.unique("init")[::-1]
    for ax, scale in zip(panels, scales, strict=True):
        drawn = {
            line.get_color(): line.get_ydata()
            for line in ax.lines
            if line.get_linestyle() != "None"
        }
        for kind, colour in colours.items():
            np.testing.assert_allclose(drawn[colour], means.loc[(kind, scale)])


def test_a_cross_marks_where_a_network_diverged(experiment) -> None:
    found = experiment(NAME)
    panels = {ax.get_title(): ax for ax in found.figure().axes}
    crosses = {
        (title, step)
        for title, ax in panels.items()
        for line in ax.lines
        if line.get_marker() == "x"
        for step in line.get_xdata()
    }
    assert crosses == {
        (f"standard deviation {trial['params_init']:.2g}", trial["steps"] + 1)
        for _, trial in found.trials.query("diverged").iterrows()
    }
    assert crosses
