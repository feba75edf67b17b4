"""The Gaussian process: its gradient, what it believes, and how long it takes."""

import time

import numpy as np
import pytest

from hpo.narrowing.surrogate import Array, Surrogate, gaps_between, misfit


def points(n: int, d: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((n, d))


def bowl(rows: Array) -> Array:
    return np.asarray(0.9 - ((rows - 0.4) ** 2).sum(axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_is_that_of_finite_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = points(25, 4, seed)
    rows[:, 2] = rng.integers(3, size=25)
    categorical = np.array([False, False, True, False])
    z = rng.standard_normal(25)
    more = (
        gaps_between(rows, rows, categorical),
        z - z.mean(),
        rng.random(25) * 0.1,
        rng.standard_normal(6),
        0.5 + rng.random(6),
    )
    theta = rng.standard_normal(6) * 0.7 - 1.0
    _, gradient = misfit(theta, *more)
    step = 1e-6
    for i, move in enumerate(np.eye(6) * step):
        above, below = misfit(theta + move, *more)[0], misfit(theta - move, *more)[0]
        assert gradient[i] == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-6)


def test_without_noise_it_goes_through_its_points() -> None:
    rows = points(40, 2)
    surrogate = Surrogate.fit(rows, bowl(rows), np.zeros(40))
    top = bowl(rows) > 0.5
    assert surrogate.mean(rows)[top] == pytest.approx(bowl(rows)[top], abs=0.01)
    elsewhere = points(200, 2, seed=1)
    elsewhere = elsewhere[bowl(elsewhere) > 0.7]
    assert surrogate.mean(elsewhere) == pytest.approx(bowl(elsewhere), abs=0.03)


def test_known_noise_is_smoothed_away() -> None:
    rows = points(100, 2)
    noise = 0.04 * np.random.default_rng(1).standard_normal(100)
    surrogate = Surrogate.fit(rows, bowl(rows) + noise, np.full(100, 0.04**2))
    top = bowl(rows) > 0.7
    error = (surrogate.mean(rows) - bowl(rows))[top]
    assert np.sqrt((error**2).mean()) < 0.5 * 0.04


def test_noise_that_nobody_told_is_found() -> None:
    rows = points(100, 2)
    noise = 0.1 * np.random.default_rng(1).standard_normal(100)
    unknown = Surrogate.fit(rows, bowl(rows) + noise)
    assert unknown.scale * np.sqrt(unknown.nugget) == pytest.approx(0.1, rel=0.3)


def test_a_score_of_many_replicates_weighs_more() -> None:
    rows = points(40, 1)
    scores = np.where(np.arange(40) == 0, 1.0, 0.0) + 0.2 * rows[:, 0]
    variances = np.full(40, 0.09)
    once = Surrogate.fit(rows, scores, variances).mean(rows[:1])[0]
    variances[0] /= 100
    often = Surrogate.fit(rows, scores, variances).mean(rows[:1])[0]
    assert often > once + 0.1


def test_the_depth_of_a_cliff_is_forgotten() -> None:
    rows = points(60, 2)
    scores = bowl(rows)
    fallen = rows[:, 0] > 0.8
    shallow = Surrogate.fit(rows, np.where(fallen, -2.0, scores), np.zeros(60))
    deep = Surrogate.fit(rows, np.where(fallen, -1e9, scores), np.zeros(60))
    assert (shallow.mean(rows) == deep.mean(rows)).all()


def test_scores_of_which_most_are_alike_keep_their_differences() -> None:
    rows = points(40, 1)
    scores = np.where(rows[:, 0] < 0.2, 0.1, 0.9)
    mean = Surrogate.fit(rows, scores, np.full(40, 1e-4)).mean(np.array([[0.05], [0.6]]))
    assert mean == pytest.approx([0.1, 0.9], abs=0.1)


def test_choices_have_no_order() -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(3, size=90), rng.random(90)]).astype(float)
    scores = np.array([0.2, 0.9, 0.3])[rows[:, 0].astype(int)] - (rows[:, 1] - 0.5) ** 2
    renamed = rows.copy()
    renamed[:, 0] = np.array([7.0, 0.0, 3.0])[rows[:, 0].astype(int)]
    categorical = np.array([True, False])
    a = Surrogate.fit(rows, scores, np.full(90, 1e-4), categorical).mean(rows)
    b = Surrogate.fit(renamed, scores, np.full(90, 1e-4), categorical).mean(renamed)
    assert (a == b).all()
    assert a == pytest.approx(scores, abs=0.05)


def test_it_knows_less_where_nothing_was_tried() -> None:
    rows = np.linspace(0.0, 0.4, 20)[:, None]
    surrogate = Surrogate.fit(rows, np.sin(9 * rows[:, 0]), np.full(20, 1e-4))
    _, covariance = surrogate.joint(np.array([[0.2], [0.5], [1.0]]))
    near, out, far = np.sqrt(np.diag(covariance))
    assert near < out < far


def test_draws_have_the_mean_and_the_covariance_that_it_says() -> None:
    rows = points(30, 2)
    surrogate = Surrogate.fit(rows, bowl(rows), np.full(30, 0.01))
    where = points(6, 2, seed=9)
    mean, covariance = surrogate.joint(where)
    drawn = surrogate.draws(where, 20_000, np.random.default_rng(1))
    spread = np.sqrt(np.diag(covariance)).max()
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.05 * spread)
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.05 * spread**2)
    again = surrogate.draws(where, 20_000, np.random.default_rng(1))
    assert (drawn == again).all()
    assert surrogate.mean(where) == pytest.approx(mean)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_and_equal_scores_are_no_accident(n: int) -> None:
    rows = points(n, 3)
    surrogate = Surrogate.fit(rows, np.full(n, 0.5), np.zeros(n))
    assert surrogate.mean(points(9, 3, seed=1)) == pytest.approx(np.full(9, 0.5))
    same = Surrogate.fit(np.full((n, 3), 0.5), np.arange(n, dtype=float))
    assert np.isfinite(same.draws(np.full((4, 3), 0.5), 10, np.random.default_rng(0))).all()


def test_many_trials_take_seconds_at_most() -> None:
    rows = points(3000, 3)
    noise = 0.04 * np.random.default_rng(1).standard_normal(3000)
    begin = time.process_time()
    surrogate = Surrogate.fit(rows, bowl(rows) + noise, np.full(3000, 0.04**2))
    surrogate.draws(points(700, 3, seed=1), 300, np.random.default_rng(0))
    assert time.process_time() - begin < 8.0  # 1.3 on one idle core
    assert len(surrogate.rows) == 2000
    where = points(500, 3, seed=2)
    where = where[bowl(where) > 0.7]
    assert surrogate.mean(where) == pytest.approx(bowl(where), abs=0.05)


def test_one_lucky_result_of_a_choice_does_not_lift_the_others() -> None:
    """Rows of a choice are equal: which of them is nearest must not be one and the same."""
    rows = np.array([[place] for place in [0.0, 1.0, 2.0] * 33])
    scores = np.array([0.0, 1.0, 0.0] * 33)
    scores[0] = 1.01
    surrogate = Surrogate.fit(rows, scores, np.full(99, 0.05**2), np.array([True]))
    a, b, c = surrogate.mean(np.array([[0.0], [1.0], [2.0]]))
    assert b == pytest.approx(1.0, abs=0.1)
    assert max(a, c) < 0.3


def test_what_is_foretold_of_a_score_is_told_by_the_others_alone() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((30, 2))
    fitted = Surrogate.fit(rows, rows[:, 0] + 0.2 * rng.standard_normal(30))
    covariance = fitted.factor @ fitted.factor.T
    z = covariance @ fitted.weights
    missed, alone = [], []
    for i in range(30):
        others = np.arange(30) != i
        weights = np.linalg.solve(covariance[np.ix_(others, others)], z[others])
        missed.append(z[i] - covariance[i, others] @ weights)
        alone.append(z[i] - z[others].mean())
    share = 1 - np.square(missed).sum() / np.square(alone).sum()
    assert 0.4 < share < 0.9
    assert fitted.foretold() == pytest.approx(share)


def test_nothing_is_foretold_of_scores_that_are_equal() -> None:
    assert Surrogate.fit(np.linspace(0, 1, 9)[:, None], np.ones(9)).foretold() == 0.0
