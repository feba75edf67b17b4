"""One contract for every optimizer: a new one adds a row to OPTIMIZERS."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core import SGD, Adam, Momentum, optimizer

# name, lr, θ after one and after two updates from θ = 1 with gradient 0.5, then -0.25.
# Worked out by hand with lr = 0.1, μ = 0.9, and ε neglected:
#   sgd       1 - 0.05;  + 0.025
#   momentum  v = -0.05;  v = -0.045 + 0.025 = -0.02
#   nesterov  0 - 1.9·0.05;  v = -0.05: 0.81·(-0.05) + 1.9·0.025 = +0.007
#   adagrad   h = 0.25: -0.1·0.5/0.5;  h = 0.3125: +0.025/√0.3125
#   rmsprop   h = 0.0025: -0.05/0.05;  h = 0.0031: +0.025/√0.0031
#   adam      m = 0.05, v = 0.00025, m̂ = 0.5, v̂ = 0.25: -0.1;
#             m = 0.02, v = 0.00031225, m̂ = 0.02/0.19, v̂ = 0.00031225/0.001999
STEPS = {
    "sgd": (0.95, 0.975),
    "momentum": (0.95, 0.93),
    "nesterov": (0.905, 0.912),
    "adagrad": (0.9, 0.9 + 0.025 / math.sqrt(0.3125)),
    "rmsprop": (0.0, 0.025 / math.sqrt(0.003100)),
    "adam": (0.9, 0.9 - 0.1 * (0.02 / 0.19) / math.sqrt(0.00031225 / 0.001999)),
}
# The learning rates with which each reaches the minimum of the book's function.
MINIMUM_LR = {
    "sgd": 0.95,
    "momentum": 0.1,
    "nesterov": 0.1,
    "adagrad": 1.5,
    "rmsprop": 0.01,
    "adam": 0.3,
}
REMEMBERED = {
    "sgd": set(),
    "momentum": {"v"},
    "nesterov": {"v"},
    "adagrad": {"h"},
    "rmsprop": {"h"},
    "adam": {"m", "v"},
}
every_optimizer = pytest.mark.parametrize("name", STEPS)


@every_optimizer
def test_first_two_steps_by_hand(name: str) -> None:
    rule = optimizer(name, lr=0.1)
    theta = np.array([1.0])
    for gradient, expected in zip((0.5, -0.25), STEPS[name], strict=True):
        rule.update({"x": theta}, {"x": np.array([gradient])})
        np.testing.assert_allclose(theta, [expected], rtol=1e-5, atol=1e-5)


@every_optimizer
def test_reaches_the_minimum_of_the_books_function(name: str) -> None:
    """f(x, y) = x²/20 + y² from (-7, 2), figure 6-3."""
    rule = optimizer(name, lr=MINIMUM_LR[name])
    params = {"x": np.array([-7.0]), "y": np.array([2.0])}
    for _ in range(1500):
        rule.update(params, {"x": params["x"] / 10, "y": 2 * params["y"]})
    assert abs(params["x"][0]) < 0.02
    assert abs(params["y"][0]) < 0.02


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_dtype_preserved_gradients_only_read(name: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    rule = optimizer(name, lr=0.1)
    params = {"W1": rng.standard_normal((4, 3)).astype(dtype), "b1": np.zeros(3, dtype)}
    grads = {key: rng.standard_normal(p.shape).astype(dtype) for key, p in params.items()}
    arrays, before = dict(params), {key: g.copy() for key, g in grads.items()}
    started = {key: p.copy() for key, p in params.items()}
    for _ in range(3):
        rule.update(params, grads)
    for key in params:
        assert params[key] is arrays[key]
        assert params[key].dtype == dtype
        assert not np.array_equal(params[key], started[key])
        np.testing.assert_array_equal(grads[key], before[key])
        assert all(array.dtype == dtype for array in rule.state[key].values())


@every_optimizer
def test_state_is_kept_by_name(name: str) -> None:
    """Other arrays under the same names continue; other names start afresh."""
    one, other = np.array([1.0]), np.array([1.0])
    rule, copied = optimizer(name, lr=0.1), optimizer(name, lr=0.1)
    for gradient in (0.5, 0.3):
        rule.update({"a": one}, {"a": np.array([gradient])})
    for gradient in (0.5, 0.3):
        other = other.copy()
        copied.update({"a": other}, {"a": np.array([gradient])})
    np.testing.assert_array_equal(one, other)
    assert set(rule.state) == {"a"}
    assert set(rule.state["a"]) == REMEMBERED[name]


@every_optimizer
def test_parameters_do_not_influence_each_other(name: str) -> None:
    together, apart = optimizer(name, lr=0.1), optimizer(name, lr=0.1)
    x, y, alone = np.array([1.0]), np.array([5.0, 6.0]), np.array([1.0])
    for gradient in (0.5, -0.25, 0.1):
        g = np.array([gradient])
        together.update({"x": x, "y": y}, {"x": g, "y": np.array([9.0, -9.0])})
        apart.update({"x": alone}, {"x": g})
    np.testing.assert_array_equal(x, alone)


def test_momentum_is_handed_on() -> None:
    theta = {"x": np.array([1.0])}
    rule = optimizer("momentum", lr=0.1, momentum=0.5)
    for _ in range(2):
        rule.update(theta, {"x": np.array([1.0])})
    np.testing.assert_allclose(theta["x"], [1 - 0.1 - 0.15])
    assert isinstance(rule, Momentum)


def test_learning_rate_may_change_between_updates() -> None:
    rule, theta = SGD(0.1), {"x": np.array([1.0])}
    rule.update(theta, {"x": np.array([1.0])})
    rule.lr = 0.01
    rule.update(theta, {"x": np.array([1.0])})
    np.testing.assert_allclose(theta["x"], [0.89])


def test_adam_counts_updates_not_parameters() -> None:
    rule = Adam(0.1)
    params = {"x": np.ones(1), "y": np.ones(2)}
    rule.update(params, params)
    rule.update(params, params)
    assert rule.t == 2


def test_unknown_name_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="'SGD': choose sgd, momentum, nesterov, adagrad, rmsprop"):
        optimizer("SGD", 0.1)
