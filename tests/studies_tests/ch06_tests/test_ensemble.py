"""Five networks together, and what would be found if they were no better than one."""

from __future__ import annotations

import numpy as np
import pytest

from studies.ch06 import ensemble as study

NAME = "ensemble"


def test_what_the_book_says_holds(experiment) -> None:
    assert experiment(NAME).findings[0].holds


def test_it_is_not_found_where_the_mean_output_is_as_good_as_one(experiment) -> None:
    found = experiment(NAME)
    alone = found.curves.groupby("trial")["alone_accuracy"].transform("mean")
    same = found.curves.assign(val_accuracy=alone)
    assert not study.finding(found.trials, same)[0].holds


@pytest.mark.parametrize(("share", "holds"), [(0.6, True), (0.4, False), (-0.6, False)])
def test_dropout_does_half_of_it_only_where_it_does(share: float, holds: bool, experiment) -> None:
    """Five are better by 0.1, and a network with dropout by a share of that."""
    found = experiment(NAME)
    ratio = found.curves["trial"].map(found.trials.set_index("trial")["params_dropout"])
    better = found.curves.assign(alone_accuracy=0.7 + 0.1 * share * (ratio > 0), val_accuracy=0.8)
    assert study.finding(found.trials, better)[1].holds == holds


def test_dropout_does_half_of_it_only_where_it_does_with_every_seed(experiment) -> None:
    found = experiment(NAME)
    seen = found.trials.set_index("trial").loc[found.curves["trial"]]
    dropped = (seen["params_dropout"] > 0).to_numpy()
    first = (seen["seed"] == seen["seed"].min()).to_numpy()
    gain = np.where(first, -0.01, 0.2) * dropped  # more than five do, but for one seed
    better = found.curves.assign(alone_accuracy=0.7 + gain, val_accuracy=0.8)
    assert not study.finding(found.trials, better)[1].holds


def test_the_mean_output_of_one_network_is_its_own(experiment) -> None:
    first = experiment(NAME).curves.query("step == 1")
    assert (first["val_accuracy"] == first["alone_accuracy"]).all()


def test_the_five_are_different_networks(experiment) -> None:
    each = experiment(NAME).curves.groupby("trial")["alone_accuracy"].nunique()
    assert (each > 1).all()
