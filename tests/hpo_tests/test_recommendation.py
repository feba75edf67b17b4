"""Which setting is recommended: not the luckiest one."""

import math
import random
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import pytest
from made_trials import LR, UNIT, sampled, swept, trial

from hpo.narrowing.noise import noise_sd
from hpo.narrowing.recommendation import standings
from hpo.narrowing.standing import Setting, Standing, by_means, settings_of
from hpo.objective import sampling_error
from hpo.space import Choice, Float, Int, Space
from hpo.trial import Trial, TrialState, ranked

X = Space({"x": UNIT})
XY = Space({"x": UNIT, "y": UNIT})


@dataclass(frozen=True)
class Advice:
    """The first of the ranking, those that cannot be told apart from it, and the best result."""

    first: Standing
    rivals: list[Trial]
    maximum: Trial

    @property
    def trial(self) -> Trial:
        return self.first.trial

    @property
    def mean(self) -> float:
        return self.first.mean


def sound(trials: list[Trial]) -> list[Setting]:
    return [setting for setting in settings_of(trials) if not setting.diverged]


def advised(
    trials: list[Trial], noise: float | None = 0.04, space: Space = X, direction: str = "maximize"
) -> Advice:
    found = standings([space], sound(trials), direction, noise)
    sign = 1 if direction == "maximize" else -1
    assert [sign * s.mean for s in found] == sorted((sign * s.mean for s in found), reverse=True)
    return Advice(found[0], [s.trial for s in found if s.tied], ranked(trials, direction)[0])


def bowl(p: Mapping[str, Any]) -> float:
    return 0.9 - float(sum((p[name] - 0.6) ** 2 for name in ("x", "y")))


def noisy(seed: int, n: int = 100) -> list[Trial]:
    rng = random.Random(seed)
    return sampled(XY, lambda p: bowl(p) + rng.gauss(0, 0.04), n, seed)


def test_the_recommended_is_nearer_to_the_optimum_than_the_luckiest() -> None:
    found = [advised(noisy(seed), space=XY) for seed in range(40)]
    recommended = median(0.9 - bowl(f.trial.params) for f in found)
    luckiest = median(0.9 - bowl(f.maximum.params) for f in found)
    assert recommended < 0.6 * luckiest
    for each in found:
        assert each.first.sd is not None
        assert abs(each.mean - bowl(each.trial.params)) < 4 * each.first.sd
        assert 0 < each.first.sd < 0.04


def test_a_lucky_outlier_is_the_maximum_but_not_recommended() -> None:
    trials = swept(UNIT, lambda x: 0.8 - (x - 0.5) ** 2)
    trials[3] = replace(trials[3], value=0.9)
    found = advised(trials)
    assert found.maximum.number == 3
    assert 0.4 < found.trial.params["x"] < 0.6
    assert found.mean == pytest.approx(0.8, abs=0.02)


def test_without_noise_it_is_the_best_result() -> None:
    found = advised(swept(UNIT, lambda x: 0.8 - (x - 0.5) ** 2), noise=0.0)
    assert found.trial.value == found.maximum.value
    assert found.mean == pytest.approx(found.maximum.value, abs=1e-3)


def test_lower_is_better_is_the_mirror_image() -> None:
    up = noisy(0)
    down = [replace(t, value=-(t.value or 0.0)) for t in up]
    a = advised(up, space=XY)
    b = advised(down, space=XY, direction="minimize")
    assert (b.trial.number, b.maximum.number) == (a.trial.number, a.maximum.number)
    assert b.mean == pytest.approx(-a.mean)
    assert [t.number for t in b.rivals] == [t.number for t in a.rivals]


def test_rivals_are_those_that_the_noise_hides() -> None:
    trials = swept(UNIT, lambda x: 0.8 - (x - 0.5) ** 2)
    clear = advised(trials, noise=0.002).rivals
    vague = advised(trials, noise=0.1).rivals
    assert len(clear) < len(vague)
    assert all(abs(t.params["x"] - 0.5) < 0.2 for t in clear)
    assert advised(trials).trial not in vague
    # The nearest competitor comes first, one that is clearly worse not at all.
    wall = swept(UNIT, lambda x: float(x > 0.5))
    assert all(t.params["x"] > 0.45 for t in advised(wall).rivals)


def test_a_confirmed_setting_weighs_as_often_as_it_was_tried() -> None:
    trials = swept(UNIT, lambda x: 0.5 + 0.2 * x, n=30)
    lucky = replace(trials[10], value=1.0)
    once = advised([*trials[:10], lucky, *trials[11:]], noise=0.15)
    assert once.maximum.number == 10
    confirmed = [
        Trial(2, i, TrialState.COMPLETE, lucky.params, 1.0 + 0.01 * (i - 4)) for i in range(9)
    ]
    often = advised([*trials[:10], lucky, *trials[11:], *confirmed], noise=0.15)
    assert once.trial.number != 10
    assert (often.trial.stage, often.trial.number) == (1, 10)
    assert often.mean == pytest.approx(1.0, abs=0.1)


def test_confirmed_as_bad_it_is_dropped() -> None:
    trials = swept(UNIT, lambda x: 0.5 + 0.3 * (x == UNIT.from_unit(0.505)))
    assert advised(trials, noise=0.0).trial.number == 50
    confirmed = [Trial(2, i, TrialState.COMPLETE, trials[50].params, 0.3) for i in range(9)]
    assert advised([*trials, *confirmed], noise=0.02).trial.number != 50


def test_a_setting_that_mostly_diverges_is_never_recommended() -> None:
    trials = swept(UNIT, lambda x: x if x < 0.8 else math.nan)
    trials[-1] = replace(trials[-1], value=5.0)
    found = advised(trials)
    assert not found.trial.diverged
    assert found.maximum.params["x"] < 0.8
    top = trials[79]
    again = [Trial(2, i, TrialState.COMPLETE, top.params, 0.1, diverged_at=1) for i in range(2)]
    assert advised([*trials, *again], noise=0.0).trial.number == 78


def test_a_seed_that_diverges_counts_in_the_mean() -> None:
    trials = swept(UNIT, lambda x: 0.5, n=30)
    good = [Trial(2, i, TrialState.COMPLETE, trials[4].params, 0.9) for i in range(4)]
    lost = Trial(2, 4, TrialState.COMPLETE, trials[4].params, 0.1, diverged_at=2)
    with_loss, without = advised([*trials, *good, lost]), advised([*trials, *good])
    assert with_loss.mean < without.mean - 0.05


def test_what_did_not_finish_is_nothing() -> None:
    trials = [
        trial(0, {"x": 0.5}, None, state=TrialState.FAIL),
        trial(1, {"x": 0.5}, 0.9, state=TrialState.PRUNED),
        trial(2, {"x": 0.5}, math.inf),
        trial(3, {"x": 0.5}, 0.9, diverged_at=1),
        trial(4, {"x": 0.5}, None, state=TrialState.RUNNING),
    ]
    assert sound(trials) == []
    assert advised([*trials, trial(5, {"x": 0.1}, 0.2)]).trial.number == 5


def test_a_single_result_is_recommended() -> None:
    found = advised([trial(0, {"x": 0.5}, 0.7)])
    assert (found.trial.number, found.rivals) == (0, [])
    assert found.mean == pytest.approx(0.7)


def test_the_order_of_the_trials_does_not_matter() -> None:
    trials = noisy(3)
    shuffled = random.Random(0).sample(trials, len(trials))
    assert advised(trials, space=XY) == advised(shuffled, space=XY)


def test_stages_with_other_ranges_and_choices_are_compared_in_one_frame() -> None:
    old = Space(
        {"lr": LR, "kind": Choice(("a", "b", "c")), "beta": Float(0, 1, when={"kind": ("c",)})}
    )
    new = Space({"lr": Float(1e-4, 1e-1, log=True), "kind": Choice(("b", 1, True))})

    def score(p: Mapping[str, Any]) -> float:
        return (p["kind"] == "b") - abs(math.log10(p["lr"] / 3e-3))

    trials = sampled(old, score, 40) + [
        replace(t, stage=2) for t in sampled(new, score, 40, seed=1)
    ]
    found = standings([new, old], sound(trials), "maximize", 0.1)[0]
    assert found.trial.params["kind"] == "b"
    assert found.trial.params["lr"] == pytest.approx(3e-3, rel=0.6)


def test_the_newest_ranges_are_the_frame() -> None:
    # What happens within a thousandth of the first range, no length of that range can follow.
    wide, narrow = Space({"x": Float(0.0, 1000.0)}), Space({"x": Float(500.0, 501.0)})

    def score(p: Mapping[str, Any]) -> float:
        return 0.5 + 0.4 * math.sin(9 * (p["x"] - 500)) if 500 <= p["x"] <= 501 else 0.5

    trials = sampled(wide, score, 30) + [replace(t, stage=2) for t in sampled(narrow, score, 40)]
    for standing in standings([narrow, wide], sound(trials), "maximize", 0.02):
        if standing.trial.stage == 2:
            assert standing.mean == pytest.approx(score(standing.trial.params), abs=0.03)


def test_settings_far_below_what_is_common_rank_by_their_scores() -> None:
    # They are learnt as equal, and their neighbours' means would put them in any order.
    def score(p: Mapping[str, Any]) -> float:
        return 0.8 - (p["x"] - 0.7) ** 2 if p["x"] > 0.35 else 10 * p["x"] - 50

    found = standings([X], sound(sampled(X, score, 40)), "maximize", 0.01)
    lost = [s for s in found if s.trial.value is not None and s.trial.value < 0]
    assert len(lost) >= 5
    assert lost == found[-len(lost) :]
    assert [s.trial.value for s in lost] == sorted((s.trial.value for s in lost), reverse=True)
    assert [s.mean for s in lost] == [s.trial.value for s in lost]


def test_what_two_settings_share_hides_no_difference_between_them() -> None:
    # Each of a few neighbours is known badly; that one is better than the next, much less so.
    rng = random.Random(2)
    trials = [trial(i, {"x": i / 30}, i / 30 + rng.gauss(0, 0.1)) for i in range(31)]
    first, *others = standings([X], sound(trials), "maximize", 0.1)
    assert first.sd is not None
    apart = [
        s
        for s in others
        if s.sd is not None
        and not s.tied
        and first.mean - s.mean < 1.645 * math.hypot(first.sd, s.sd)
    ]
    assert apart


def test_true_and_one_are_two_settings() -> None:
    space = Space({"k": Choice((True, 1)), "n": Int(1, 2)})
    trials = [trial(i, {"k": k, "n": 1}, v) for i, (k, v) in enumerate([(True, 0.1), (1, 0.9)])]
    assert advised(trials, noise=0.01, space=space).trial.number == 1


def test_unknown_noise_is_estimated() -> None:
    found = [advised(noisy(seed), noise=None, space=XY) for seed in range(20)]
    assert median(0.9 - bowl(f.trial.params) for f in found) < median(
        0.9 - bowl(f.maximum.params) for f in found
    )


def test_losses_that_exploded_leave_the_others_as_they_are() -> None:
    rng = random.Random(0)
    score = [0.5 + rng.gauss(0, 0.02) for _ in range(40)]
    for huge in (1e20, 1e200, 1e308):
        trials = [trial(i, {"x": i / 40}, huge if i % 3 == 0 else v) for i, v in enumerate(score)]
        first = standings([X], sound(trials), "minimize", None)[0]
        assert first.mean == pytest.approx(0.5, abs=0.05)
        assert first.sd is not None
        assert first.sd < 0.05


def test_many_settings_take_no_memory_of_their_square() -> None:
    n = 12_000
    trials = [trial(i, {"x": i / n}, 0.8 - (i / n - 0.5) ** 2) for i in range(n)]
    tracemalloc.start()
    found = standings([X], sound(trials), "maximize", 0.02)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 500 * 2**20
    assert found[0].trial.params["x"] == pytest.approx(0.5, abs=0.05)
    assert len(found) == n


# A few settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_few_settings_go_by_their_means(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    values = {0.1: [0.9, 0.1, 0.2], 0.2: [0.6, 0.5, 0.4], 0.3: [0.45]}
    trials = [
        trial(i, {"x": x}, sign * v)
        for i, (x, v) in enumerate((x, v) for x, every in values.items() for v in every)
    ]
    found = by_means(sound(trials), direction, 0.06)
    assert [(s.trial.number, s.tied) for s in found] == [(3, False), (6, True), (0, False)]
    assert [s.mean for s in found] == [pytest.approx(sign * m) for m in (0.5, 0.45, 0.4)]
    assert [s.sd for s in found] == [pytest.approx(0.06 / math.sqrt(r)) for r in (3, 1, 3)]
    at_odds = [trial(n, {"x": n / 10}, v) for n, v in enumerate((0.5, 0.37, 0.3))]
    # Better with a probability of 9 %, and of 2 %.
    assert [s.tied for s in by_means(sound(at_odds), "maximize", 0.07)] == [False, True, False]
    unknown = by_means(sound(trials), direction, None)
    assert [(s.trial.number, s.sd, s.tied) for s in unknown] == [
        (3, None, False),
        (6, None, False),
        (0, None, False),
    ]


# Noise -------------------------------------------------------------------------------------------


def test_the_noise_is_that_of_the_validation_set_at_the_level_of_the_best() -> None:
    values = [0.1] * 90 + [0.8] * 10
    assert noise_sd(values, "maximize", 100) == pytest.approx(0.04, abs=0.001)
    assert noise_sd(values, "minimize", 100) == pytest.approx(0.03, abs=0.003)
    assert noise_sd([1.0], "maximize", 100) == sampling_error(1.0, 100) > 0
    assert noise_sd(values, "maximize") is None
    assert noise_sd([], "maximize", 100) is None


def test_seeds_that_differ_more_than_that_are_the_noise() -> None:
    values = [0.8] * 10
    near, far = [[0.8, 0.81]] * 9, [[0.5, 0.9], [0.7]]
    assert noise_sd(values, "maximize", 100, near) == noise_sd(values, "maximize", 100)
    assert noise_sd(values, "maximize", 100, far) == pytest.approx(0.4 / math.sqrt(2))
    assert noise_sd(values, "maximize", None, far) == pytest.approx(0.4 / math.sqrt(2))
    several = np.random.default_rng(0).normal(0, 0.1, (200, 3)).tolist()
    assert noise_sd([], "maximize", None, several) == pytest.approx(0.1, rel=0.1)
