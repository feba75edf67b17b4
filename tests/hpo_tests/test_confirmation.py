"""The intervals of a confirmation: how often they cover, and what they do with lost replicates."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from hpo import confirmation
from hpo.confirmation import intervals

PAGE = Path(__file__).parents[2] / "benchmarks" / "confirm.py"


@pytest.fixture(scope="module", autouse=True)
def _fewer_draws() -> Iterator[None]:
    """Take the levels from a fifth of the draws, for each costs more than a hundred repetitions.

    A level of 5 % is then known to ± 0.7 %.
    """
    levels = (confirmation._level_of_means, confirmation._level_of_differences)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confirmation, "_DRAWS", confirmation._DRAWS // 5)
        for level in levels:
            level.cache_clear()
        yield
    for level in levels:
        level.cache_clear()


@pytest.fixture(scope="module")
def simulation():
    """Return the benchmark, of which this file runs a small part."""
    specification = importlib.util.spec_from_file_location("confirm_benchmark", PAGE)
    module = importlib.util.module_from_spec(specification)
    sys.modules["confirm_benchmark"] = module  # where its dataclasses look for their types
    specification.loader.exec_module(module)
    yield module
    del sys.modules["confirm_benchmark"]


@pytest.mark.parametrize(
    ("correlation", "spread", "means"),
    [(0.0, "equal", "ties"), (0.9, "equal", "ties"), (0.5, "unequal", "apart")],
)
def test_five_intervals_cover_together_and_so_does_that_of_the_picked_one(
    simulation, correlation, spread, means
):
    held = simulation.measure(simulation.Case(5, 5, correlation, spread, means), 1000, seed=1)
    assert 0.93 <= held.all <= 0.97
    assert held.picked >= 0.93
    assert held.wrong <= 0.07


def test_a_plain_interval_of_the_picked_one_does_not(simulation):
    case = simulation.Case(5, 5, 0.0, "equal", "ties")
    assert simulation.measure(case, 1000, seed=1).plain < 0.93


def test_they_cover_where_replicates_are_lost():
    generator = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        scores = generator.standard_normal((5, 5)) + generator.standard_normal(5)
        rows = scores.tolist()
        rows[1][2] = rows[3][0] = rows[3][1] = None
        covered.append(all(said.low <= 0 <= said.high for said in intervals(rows)))
    assert 0.92 <= np.mean(covered) <= 0.98


def test_one_setting_has_the_t_interval():
    scores = [0.1, 0.4, 0.2, 0.6, 0.3]
    (said,) = intervals([scores])
    low, high = t.interval(0.95, 4, np.mean(scores), np.std(scores, ddof=1) / 5**0.5)
    assert (said.mean, said.se) == pytest.approx((0.32, np.std(scores, ddof=1) / 5**0.5))
    assert (said.low, said.high) == pytest.approx((low, high))
    assert said.tied


def test_a_lost_replicate_is_neither_averaged_nor_paired():
    first, second = [0.5, 0.6, 0.7, 0.6, 0.5], [0.4, 0.5, 0.6, 0.5, None]
    said = intervals([first, second])[1]
    assert said.mean == pytest.approx(0.5)
    assert said.se == pytest.approx(np.std(second[:4], ddof=1) / 2)
    # Four degrees of freedom became three: a wider interval from the same spread.
    whole = intervals([first, [0.4, 0.5, 0.6, 0.5, 0.5]])[1]
    assert (said.high - said.mean) / said.se > (whole.high - whole.mean) / whole.se
    assert said.tied  # each differs from itself by as much as they do from each other
    assert not intervals([first, [0.41, 0.5, 0.6, 0.5, None]])[1].tied


def test_what_the_seeds_share_does_not_hide_a_difference():
    luck = np.array([0.0, 3.0, -2.0, 5.0, 1.0])
    noise = np.array([0.01, -0.02, 0.0, 0.02, -0.01])
    first, second = intervals([(luck + 0.5).tolist(), (luck + noise).tolist()])
    assert first.tied
    assert not second.tied
    assert second.low < first.mean < second.high  # their own intervals say nothing of it
    assert intervals([(luck + 0.5).tolist(), luck[::-1].tolist()])[1].tied  # without the pairs


def test_a_single_score_has_a_mean_and_no_more():
    one, other = intervals([[0.5, 0.6, 0.7], [None, 0.4, None]])
    assert (other.mean, other.se, other.low, other.high) == (0.4, None, None, None)
    assert other.tied
    assert one.low < 0.6 < one.high


def test_equal_scores_tell_nothing_of_their_spread():
    for said in intervals([[0.977] * 2, [0.977] * 2, [0.965] * 2]):
        assert (said.se, said.low, said.high, said.tied) == (None, None, None, True)
    one, other = intervals([[0.977] * 3, [0.5, 0.51, 0.52]])
    assert (one.low, one.high, other.tied) == (None, None, False)  # one of the two has a spread


def test_equal_differences_spread_as_the_settings_do():
    near, far = [0.52, 0.61, 0.57, 0.63], [0.12, 0.21, 0.17, 0.23]
    assert not intervals([near, far])[1].tied
    assert intervals([near, [each - 0.03 for each in near]])[1].tied


def test_the_same_scores_give_the_same_answer_and_the_scale_does_not_matter():
    scores = np.random.default_rng(0).standard_normal((4, 6))
    once = intervals(scores.tolist())
    assert intervals(scores.tolist()) == once
    scaled = intervals((scores * 1e-6 + 1.0).tolist())
    assert [s.low for s in scaled] == pytest.approx([1 + 1e-6 * s.low for s in once], rel=1e-9)
    assert [s.tied for s in scaled] == [s.tied for s in once]


def test_replicates_that_agree_by_rounding_alone_claim_no_certainty():
    first, second = [0.91] * 5, [0.90] * 5
    rounded = intervals([first, second], step=0.01)
    assert [said.mean for said in rounded] == pytest.approx([0.91, 0.90])
    assert all(said.high - said.low > 0.008 for said in rounded)
    assert not rounded[1].tied
    assert intervals([first[:2], second[:2]], step=0.01)[1].tied  # two seeds may agree by chance
    assert [said.se for said in rounded] == pytest.approx([0.01 / 12**0.5 / 5**0.5] * 2)
    generator = np.random.default_rng(4)
    covered = []
    for _ in range(400):
        true = generator.uniform(0.4, 0.6, (5, 1))
        scores = np.round(true + generator.normal(0, 0.004, (5, 5)), 2)
        said = intervals(scores.tolist(), step=0.01)
        covered.append(all(s.low <= t <= s.high for s, t in zip(said, true[:, 0], strict=True)))
    assert np.mean(covered) >= 0.95


@pytest.mark.parametrize("share", [0.1, 0.4, 0.5])
def test_they_cover_means_between_two_steps(share):
    """Each seed gives one of two neighbouring values, so that all of them often agree."""
    generator = np.random.default_rng(5)
    covered = []
    for _ in range(400):
        scores = 0.5 + 0.01 * (generator.random((1, 5)) < share)
        (said,) = intervals(scores.tolist(), step=0.01)
        covered.append(said.low <= 0.5 + 0.01 * share <= said.high)
    assert np.mean(covered) >= 0.95


def test_fine_steps_change_next_to_nothing():
    scores = np.random.default_rng(0).normal(0.9, 0.01, (3, 5))
    plain, stepped = intervals(scores.tolist()), intervals(scores.tolist(), step=1e-3)
    assert [s.high for s in stepped] == pytest.approx([s.high for s in plain], rel=1e-3)
