"""What makes sense next: what a run, `best` and `check` say of one study is the same."""

import math
import random
import re
from dataclasses import replace

import pytest
from made_studies import confirmed, grown_to_its_limit, study
from made_trials import LR, UNIT, log_peak, sampled

from hpo.advice import advise
from hpo.health import verdicts
from hpo.narrowing import Rule
from hpo.next_stage import decided
from hpo.space import Choice, Space
from hpo.summary import Summary
from hpo.trial import TrialState

LOG = Space({"lr": LR})


def remedy(found: Summary, check: str) -> str | None:
    (verdict,) = [each for each in verdicts(found, {}) if each.check == check]
    return verdict.remedy


def advised(found: Summary) -> str:
    return f"hpo {advise(found, found.last).command}"


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_optimum_outside_is_followed_whatever_the_sampler(sampler: str) -> None:
    found = study(LOG, sampled(LOG, log_peak(1.0)), sampler=sampler)
    (lean,) = advise(found, found.last).leans
    assert re.fullmatch(
        r"with a probability of \d+ % the optimum of lr lies at its upper edge 1e-02", lean.sentence
    )
    assert advised(found) == remedy(found, "edge") == "hpo narrow 1"
    assert not advise(found, found.last).settles


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_where_narrow_is_at_its_limit_the_next_command_moves_the_range_by_hand(
    sampler: str,
) -> None:
    found = grown_to_its_limit(study(LOG, sampled(LOG, log_peak(1.0)), sampler=sampler), "lr")
    assert advised(found) == remedy(found, "edge") == "hpo narrow 1 --range lr=1e-06:1"
    (warning,) = decided(found, found.last, found.trials[0]).warnings
    (lean,) = advise(found, found.last).leans
    assert warning.lower() == f"{lean.sentence}. set a range by hand: --range lr=1e-06:1".lower()
    off = decided(found, found.last, found.trials[0], rule=Rule(widen=False))
    assert off.warnings == ()  # as asked


def test_nobody_is_sent_beyond_limits_of_his_own() -> None:
    trials, limits = sampled(LOG, log_peak(1.0)), {"lr": (1e-6, 1e-2)}
    for sampler, command in (("random", "hpo narrow 1"), ("tpe", "hpo confirm 1")):
        found = study(LOG, trials, sampler=sampler, limits=limits)
        assert advised(found) == command
        assert remedy(found, "edge") is None
        assert decided(found, found.last, trials).warnings == ()


def test_an_optimum_inside_is_narrowed_after_random_search_and_confirmed_after_tpe() -> None:
    trials = sampled(LOG, log_peak(1e-4))
    for sampler, command in (("random", "narrow 1"), ("qmc", "narrow 1"), ("tpe", "confirm 1")):
        advice = advise(found := study(LOG, trials, sampler=sampler), found.last)
        assert (advice.command, advice.leans) == (command, ())
        assert advice.settles == (sampler == "tpe")


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_where_nothing_learns_nothing_is_confirmed(sampler: str) -> None:
    rng = random.Random(0)
    trials = sampled(LOG, lambda p: sum(rng.random() < 0.1 for _ in range(100)) / 100)
    found = study(LOG, trials, sampler=sampler, validation=100)
    assert advised(found) == remedy(found, "flat") == "hpo narrow 1"
    stuck = study(LOG, trials, sampler=sampler, validation=100, limits={"lr": (1e-6, 1e-2)})
    assert advised(stuck) == "hpo check 1"


def test_settings_that_are_all_as_good_are_confirmed() -> None:
    rng = random.Random(0)
    trials = sampled(LOG, lambda p: sum(rng.random() < 0.8 for _ in range(100)) / 100)
    assert advised(study(LOG, trials, validation=100)) == "hpo confirm 1"


def test_too_few_trials_are_made_more() -> None:
    found = study(LOG, sampled(LOG, log_peak(1.0), n=12))
    assert advised(found) == remedy(found, "trials") == "hpo resume 1 --trials 30"
    assert not advise(found, found.last).leans


def test_a_comparison_is_looked_at_and_a_confirmation_is_the_end() -> None:
    space = Space({"kind": Choice(("a", "b"))})
    found = study(space, sampled(space, lambda p: p["kind"] == "a"), sampler="grid")
    assert advised(found) == "hpo plot 1"
    found = study(LOG, sampled(LOG, log_peak(1e-4)))
    settled = confirmed(found, [{"lr": 1e-4}, {"lr": 1e-3}], [[0.9, 0.8], [0.5, 0.6]])
    assert advised(settled) == "hpo best 1"
    assert advise(settled, settled.last).settles


def test_what_was_confirmed_does_not_hide_an_optimum_outside_nor_too_few_trials() -> None:
    for n, command in ((100, "hpo narrow 1"), (12, "hpo resume 1 --trials 30")):
        found = study(LOG, sampled(LOG, log_peak(1.0), n=n), sampler="tpe")
        settled = confirmed(found, [{"lr": 9e-3}, {"lr": 8e-3}], [[0.9, 0.8], [0.5, 0.6]])
        assert advised(settled) == command
        assert not advise(settled, settled.last).settles


def test_a_search_that_failed_for_the_most_part_is_not_confirmed_but_cut() -> None:
    space = Space({"x": UNIT})
    trials = [
        replace(t, value=None, state=TrialState.FAIL, reason="error", error="E: no")
        if t.params["x"] > 0.4
        else t
        for t in sampled(space, lambda p: -((p["x"] - 0.2) ** 2), n=40)
    ]
    found = study(space, trials, sampler="tpe")
    assert sum(t.value is not None for t in trials) < 30
    assert advised(found) == "hpo narrow 1"
    assert not [each for each in verdicts(found, {}) if each.check == "flat"]


def test_a_cliff_is_no_edge() -> None:
    space = Space({"x": UNIT})
    found = study(space, sampled(space, lambda p: p["x"] if p["x"] < 0.95 else math.nan))
    assert advise(found, found.last).leans == ()
