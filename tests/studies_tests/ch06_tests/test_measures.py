"""Numbers of a comparison, also where a replicate diverged."""

from __future__ import annotations

import pandas as pd
import pytest

from studies.ch06.measures import at_end, average, first_stage, spread

TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2, 3, 4, 5],
        "seed": [7, 8, 7, 8, 7, 8],
        "params_rule": ["a", "a", "b", "b", "c", "c"],
        "state": ["COMPLETE"] * 4 + ["FAIL", "COMPLETE"],
        "diverged": [False, False, False, True, False, False],
    }
)
CURVES = pd.DataFrame(
    [
        *((0, step, loss) for step, loss in enumerate([4.0, 3.0, 2.0])),
        *((1, step, loss) for step, loss in enumerate([6.0, 5.0, 4.0])),
        *((2, step, loss) for step, loss in enumerate([4.0, 2.0, 1.0])),
        *((3, step, loss) for step, loss in enumerate([0.5])),
        *((4, step, loss) for step, loss in enumerate([0.5])),
        *((5, step, loss) for step, loss in enumerate([4.0, 2.0, 1.0])),
    ],
    columns=["trial", "step", "loss"],
)


def test_rows_are_seeds_and_columns_contenders() -> None:
    ends = at_end(TRIALS, CURVES, "loss", "rule")
    assert list(ends.index) == [7, 8]
    assert list(ends["a"]) == [2, 4]
    assert list(at_end(TRIALS, CURVES, "loss", "rule", last=2)["a"]) == [2.5, 4.5]
    assert list(average(TRIALS, CURVES, "loss", "rule")["a"]) == [3, 5]


@pytest.mark.parametrize("measure", [at_end, average])
def test_what_has_no_result_is_ahead_of_nothing(measure) -> None:
    """Its curve ends early, and by luck with a good number."""
    loss = measure(TRIALS, CURVES, "loss", "rule")
    assert loss["b"].isna().tolist() == [False, True]
    assert loss["c"].isna().tolist() == [True, False]
    for other in "bc":
        assert not (loss[other] < loss["a"]).all()
        assert not (loss["a"] < loss[other]).all()


@pytest.mark.parametrize(
    "lost", [{"diverged": True}, {"state": "FAIL"}, {"stage": 2}], ids=["diverged", "FAIL", "later"]
)
def test_where_nothing_has_a_result_this_is_said(lost: dict[str, object]) -> None:
    trials, curves = TRIALS.assign(stage=1), CURVES.assign(stage=1)
    hook = first_stage(lambda trials, curves: len(trials))
    assert hook(trials, curves) == len(trials)
    with pytest.raises(ValueError, match=r"none of the \d trials was trained to its end"):
        hook(trials.assign(**lost), curves)


def test_a_spread_says_how_many_are_missing() -> None:
    assert spread(pd.Series([1.0])) == "1.000"
    assert spread(pd.Series([-0.0001, 0.0001])) == "0.000 (0.000 … 0.000)"
    assert spread(pd.Series([1.0, 3.0]), 1) == "2.0 (1.0 … 3.0)"
    assert spread(pd.Series([1.0, 3.0, None]), 1) == "2.0 (1.0 … 3.0), 1 of 3 without a result"
    assert spread(pd.Series([None, None], dtype=float)) == "2 of 2 without a result"
    assert spread(pd.Series([-0.0002, -0.0001])) == "0.000 (0.000 … 0.000)"
    assert spread(pd.Series([6.2e35])) == "6.20e+35"
