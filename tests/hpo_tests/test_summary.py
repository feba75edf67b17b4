"""Which setting is recommended, and how sure its score is."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hpo.definition import Definition
from hpo.finalist import compared
from hpo.space import Float, Space
from hpo.study import Stage, Study
from hpo.summary import Summary, standard_error
from hpo.trial import Trial, TrialState, ranked

SPACE = Space({"x": Float(0.0, 1.0)})
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def study(metric="val_accuracy", direction="maximize", validation=100):
    description = {
        "train": 400,
        "validation": validation,
        "test": 100,
        "classes": 10,
        "fingerprint": "x",
    }
    definition = Definition("my", "m:train", direction, SPACE, metric)
    return Study(1, "u", "my", definition, description if validation else None, {}, NOW)


def summary(*stages, seeds=1, **about):
    """A study of stages given as lists of trials."""
    made = [
        Stage(n, f"s{n}", n, None, f"my/{n}", "start", SPACE, None, "random", 99, seeds, NOW, None)
        for n in range(1, len(stages) + 1)
    ]
    return Summary(study(**about), made, stages)


def row(number, value, stage=1, seeds=1, lost=False, state=TrialState.COMPLETE):
    params = {"x": (number // seeds) / 10}
    lost_at = 3 if lost else None
    return Trial(stage, number, state, params, value, diverged_at=lost_at, slot_id=100 * stage)


def rows(*settings, stage=1):
    """Settings given as the values of their replicates; None has failed."""
    seeds = len(settings[0])
    return [
        row(seeds * s + r, v, stage, seeds, state=TrialState.COMPLETE if v else TrialState.FAIL)
        for s, values in enumerate(settings)
        for r, v in enumerate(values)
    ]


# The best


@pytest.mark.parametrize(("direction", "order"), [("maximize", "dbca"), ("minimize", "acbd")])
def test_the_best_comes_first_and_the_earlier_among_equals(direction, order):
    trials = {"a": row(0, 0.1), "c": row(2, 0.5, 2), "b": row(1, 0.5), "d": row(3, 0.9)}
    if direction == "minimize":
        trials["c"], trials["b"] = trials["b"], trials["c"]
    names = {id(t): name for name, t in trials.items()}
    assert "".join(names[id(t)] for t in ranked(trials.values(), direction)) == order


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_diverged_trial_is_never_the_best(direction):
    trials = [row(0, 0.99, lost=True), row(1, 0.5), row(2, 0.01, lost=True), row(3, 0.6)]
    found = summary(trials, direction=direction)
    first, second = (3, 1) if direction == "maximize" else (1, 3)
    best = found.best()
    assert best is not None
    assert best.trial == first
    assert [t.number for t in found.top()][:2] == [first, second]
    only = summary([t for t in trials if t.diverged], direction=direction)
    assert only.best() is None
    assert len(only.top()) == 2


def test_the_recommended_is_no_lucky_one_but_the_maximum_is_named():
    values = [0.8 - (n / 10 - 5) ** 2 / 25 for n in range(100)]
    values[3] = 0.95
    trials = [replace(row(n, v), params={"x": n / 100}) for n, v in enumerate(values)]
    found = summary(trials[:50], [replace(t, stage=2) for t in trials[50:]])
    best = found.best()
    assert best is not None
    assert 0.4 < best.params["x"] < 0.6
    assert best.value == values[round(100 * best.params["x"])]
    assert best.mean == pytest.approx(0.8, abs=0.02)
    assert best.se is not None
    assert 0 < best.se < 0.04
    # Around the optimum nothing can be told apart, at the far end everything.
    assert found.ties
    assert all(0.2 < trial.params["x"] < 0.8 for trial in found.ties)
    said = found.best_json()
    assert said is not None
    assert said["maximum"] == {"stage": 1, "trial": 3, "value": 0.95}
    assert said["ties"] == [{"stage": t.stage, "trial": t.number} for t in found.ties]
    assert found.observed() == found.observed(found.stages[0]) == 0.95
    assert found.observed(found.stages[1]) == max(values[50:])


def test_without_a_result_nothing_is_recommended():
    found = summary([row(0, None, state=TrialState.FAIL)])
    assert found.best() is found.best_json() is found.observed() is None


def test_replicates_are_ranked_by_their_mean():
    found = summary(rows((0.71, 0.6, 0.6), (0.68, 0.7, 0.69), (0.5, 0.52, 0.5)), seeds=3)
    best = found.best()
    assert best is not None
    assert (best.trial, best.value, best.params) == (3, 0.68, {"x": 0.1})
    assert best.mean == pytest.approx(0.69, abs=0.02)
    assert best.to_json()["mean"] == best.mean
    # The five of the contract are trials, by what was observed.
    assert [t.number for t in found.top()] == [0, 4, 5, 3, 1]
    assert found.observed() == pytest.approx(0.69)


def test_replicates_of_all_stages_are_compared():
    stages = rows((0.65, 0.7), (0.8, 0.78)), [replace(t, stage=2) for t in rows((0.6, 0.8))]
    found = summary(*stages, seeds=2)
    best = found.best()
    assert best is not None
    # x = 0 was tried in both: it counts as one setting, with four results.
    assert [(s.trial.stage, s.trial.number) for s in found.ranking] == [(1, 2), (1, 0)]
    assert found.observed(found.stages[0]) == pytest.approx(0.79)
    assert found.observed(found.stages[1]) == pytest.approx(0.7)


def test_a_setting_of_which_little_has_completed_is_no_lucky_winner():
    lucky = (0.99, None, None)
    found = summary(rows(lucky, (0.6, None, 0.8)), seeds=3)
    assert [s.trial.number for s in found.ranking] == [3, 0]
    assert found.ties == []
    assert found.observed() == pytest.approx(0.7)
    best = summary(rows(lucky), seeds=3).best()
    assert best is not None
    assert (best.trial, best.mean) == (0, 0.99)


def test_settings_that_lost_most_of_their_seeds_do_not_make_enough_to_weigh():
    full = [(0.5 + n / 100,) * 3 for n in range(9)]
    lost = [(0.9, None, None)] * 5
    assert not summary(rows(*full, *lost), seeds=3).weighed
    assert summary(rows(*full, (0.4, 0.4, 0.4), *lost), seeds=3).weighed


def test_a_setting_goes_by_a_replicate_that_did_not_diverge():
    trials = [row(0, 0.1, seeds=3, lost=True), row(1, 0.9, seeds=3), row(2, 0.8, seeds=3)]
    best = summary(trials, seeds=3).best()
    assert best is not None
    assert (best.trial, best.value) == (1, 0.9)
    assert best.mean == pytest.approx(0.6)
    mostly = [row(0, 0.9, seeds=2), row(1, 0.89, seeds=2, lost=True)]
    mostly += [row(2, 0.2, seeds=2), row(3, 0.2, seeds=2)]
    best = summary(mostly, seeds=2).best()
    assert best is not None
    assert best.trial == 2


# The standard error


def test_a_perfect_score_has_an_error_too():
    hundred = study(validation=100)
    assert standard_error(hundred, 1.0) == pytest.approx(math.sqrt(102 * 2 / 104**3))
    assert standard_error(hundred, 0.0) == pytest.approx(standard_error(hundred, 1.0))
    assert standard_error(hundred, 1.0) > 0.01


def test_elsewhere_the_error_is_what_everybody_expects():
    assert standard_error(study(validation=287), 0.965) == pytest.approx(0.0117, abs=5e-5)
    large = study(validation=10_000)
    assert standard_error(large, 0.9) == pytest.approx(math.sqrt(0.9 * 0.1 / 1e4), rel=1e-3)


@pytest.mark.parametrize("value", [-0.1, 1.1, 1e9])
def test_what_is_no_share_of_examples_has_no_error(value):
    assert standard_error(study(), value) is None
    assert standard_error(study(metric="val_loss"), 0.5) is None
    assert standard_error(study(validation=0), 0.5) is None


def test_the_mean_of_huge_scores_is_finite():
    study_ = summary(rows((1.5e308, 1.5e308)), seeds=2, direction="minimize", metric="val_loss")
    best = study_.best()
    assert best is not None
    assert best.mean == 1.5e308


# The ranking


def test_settings_are_ranked_once_each_and_diverged_ones_never():
    again = Trial(2, 0, TrialState.COMPLETE, {"x": 0.1}, 0.8)
    found = summary([row(0, 0.7), row(1, 0.9), row(2, 0.95, lost=True)], [again])
    assert [(s.trial.stage, s.trial.number) for s in found.ranking] == [(1, 1), (1, 0)]
    assert summary([row(0, 0.9, lost=True)]).ranking == []


def confirmed(finalists, *, open_=False, later=(), direction="maximize"):
    """A search of five trials, then a confirmation given as replicates by setting."""
    search = [row(number, 0.9 - number / 100) for number in range(5)]
    found = summary(search, [], list(later), direction=direction)
    chosen = [{"stage": 1, "trial": n, "value": 0.0, "params": {"x": n / 10}} for n in finalists]
    stage = replace(
        found.stages[1],
        kind="confirm",
        evidence={"settings": chosen},
        seeds=3,
        finished_at=None if open_ else NOW,
    )
    trials = [
        Trial(
            2,
            3 * i + j,
            TrialState.COMPLETE,
            {"x": n / 10},
            v or 0.1,
            diverged_at=None if v else 7,
            slot_id=200,
        )
        for i, (n, values) in enumerate(finalists.items())
        for j, v in enumerate(values)
    ]
    stages = [found.stages[0], stage, *found.stages[2 : 2 + bool(later)]]
    return replace(found, stages=stages, trials=[search, trials, *([later] if later else [])])


def undescribed(found, metric="val_accuracy"):
    """Return the study as it would be without a `describe`."""
    definition = replace(found.study.definition, metric=metric)
    return replace(found, study=replace(found.study, definition=definition, description=None))


def order(found):
    return [round(10 * s.trial.params["x"]) for s in found.ranking]


def test_a_confirmation_settles_what_came_before_it():
    means = {0: [0.5, 0.5, 0.5], 1: [0.7, 0.6, 0.8]}
    first, second, *others = order(confirmed(means))
    assert (first, second, sorted(others)) == (1, 0, [2, 3, 4])
    assert order(confirmed(means, direction="minimize"))[:2] == [0, 1]
    assert order(confirmed(means, open_=True)) == [0, 1, 2, 3, 4]
    tied = confirmed({0: [0.5, 0.6, 0.7], 1: [0.6, 0.5, 0.6]}).ties
    assert [t.params["x"] for t in tied] == [0.1]
    best = confirmed(means).best()
    assert best is not None
    assert (best.stage, best.trial, best.value) == (2, 3, 0.7)
    assert (best.mean, best.se) == (pytest.approx(0.7), pytest.approx(0.1 / math.sqrt(3)))


def test_later_settings_compete_with_the_confirmed_ones():
    means = {0: [0.5, 0.5, 0.5], 1: [0.7, 0.6, 0.8]}
    later = [row(0, 0.99, stage=3), row(8, 0.99, stage=3, lost=True)]
    # x = 0 is a finalist: a lucky trial more does not count against its mean.
    assert order(confirmed(means, later=[*later, row(7, 0.1, stage=3)]))[:3] == [1, 0, 7]
    found = confirmed(means, later=[*later, row(7, 0.9, stage=3)])
    assert order(found)[:3] == [7, 1, 0]
    close = confirmed(means, later=[row(7, 0.75, stage=3)])
    assert {order(close)[0], round(10 * close.ties[0].params["x"])} == {1, 7}


def test_trials_with_which_an_earlier_stage_has_grown_compete_too():
    means = {0: [0.5, 0.5, 0.5], 1: [0.7, 0.6, 0.8]}
    found = confirmed(means)
    newer = [replace(row(7, 0.95), slot_id=300), replace(row(8, 0.9, lost=True), slot_id=301)]
    grown = replace(found, trials=[[*found.trials[0], *newer], found.trials[1]])
    assert order(grown)[:3] == [7, 1, 0]
    assert [t.number for t in grown.newer] == [7]
    assert (found.last.number, grown.last.number) == (2, 1)
    again = [replace(row(4, 0.99), number=9, slot_id=300)]  # 4 was not chosen, and is tried again
    again = replace(found, trials=[[*found.trials[0], *again], found.trials[1]])
    assert order(again)[:3] == [4, 1, 0]


def test_a_confirmed_setting_of_unknown_spread_is_compared_by_what_is_expected_of_it():
    means = {0: [0.7, 0.7, 0.7], 1: [0.5, 0.6, 0.4]}
    near = undescribed(confirmed(means, later=[row(7, 0.41, stage=3), row(9, 0.1, stage=3)]))
    assert (near.best().mean, near.best().se) == (pytest.approx(0.7), None)
    assert [round(10 * t.params["x"]) for t in near.ties if t.stage == 3] == [7]


def test_no_interval_of_an_accuracy_leaves_what_it_can_be():
    def ends(metric, *scores):
        found = undescribed(confirmed({0: scores, 1: [0.5, 0.6, 0.4]}), metric)
        return [(said.low, said.high) for _, said in found.confirmed(found.stages[1])]

    assert ends("val_accuracy", 0.99, 0.9, 0.999)[0][1] == 1.0
    assert min(low for low, _ in ends("acc", 0.9, 0.1, 0.9)) == 0.0
    assert ends("r2", 0.99, 0.9, 0.999)[0][1] > 1  # nobody says that it is a share of examples
    assert ends("val_accuracy", 99.0, 90.0, 99.9)[0][1] > 100  # nor is a percentage


def test_a_finalist_that_lost_a_seed_is_still_better_than_what_is_worse():
    means = {0: [0.9, 0.9, None], 1: [0.9, None, 0.9]}
    later = [row(5 + n, 0.2 + n / 1e3, stage=3) for n in range(5)]
    assert order(confirmed(means, later=later))[:2] == [0, 1]
    assert order(confirmed(means, later=[*later, row(0, 0.99, stage=3)]))[:2] == [0, 1]
    better = confirmed(means, later=[row(9, 0.99, stage=3), row(10, 0.98, stage=3)])
    assert order(better)[:4] == [9, 10, 0, 1]


def test_finalists_are_compared_seed_by_seed():
    # The seeds differ far more than the settings do, but in the same way for both.
    means = {0: [0.1, 0.5, 0.9], 1: [0.08, 0.479, 0.881]}
    assert confirmed(means).ties == []
    assert [t.params["x"] for t in confirmed({0: means[0], 1: [0.9, 0.1, 0.5]}).ties] == [0.1]


def test_no_accuracy_above_one_is_expected():
    trials = [replace(row(n, 0.98 + n / 1e3), params={"x": n / 20}) for n in range(20)]
    best = summary(trials, validation=10_000).best()
    assert best is not None
    assert 0.99 < best.mean <= 1.0
    assert all(0 <= standing.mean <= 1 for standing in summary(trials).ranking)


def test_what_is_left_of_a_study_whose_search_was_deleted():
    found = confirmed({0: [0.5, 0.5, 0.5]})
    left = replace(found, trials=[[], found.trials[1]])
    said = left.best_json()
    assert said is not None
    assert (said["stage"], said["maximum"]) == (2, None)


def test_lost_replicates_come_before_means():
    means = {0: [0.5, 0.5, 0.5], 1: [0.9, None, 0.9], 2: [None, None, 0.95], 3: [None] * 3}
    found = confirmed(means)
    assert order(found) == [0, 1, 4]
    finalists = found.finalists(found.stages[1])
    assert [f.diverged for f in finalists] == [0, 1, 2, 3]
    assert [f.mean for f in finalists] == [0.5, 0.9, 0.95, None]
    assert [f.sound for f in finalists] == [True, True, False, False]
    assert [said and said.tied for said in compared(finalists)] == [True, True, True, None]
