from __future__ import annotations

import itertools

import numpy as np
import pytest

from core import MLP, Affine, check_network, optimizer

SIZES, N = (5, 4, 3, 3), 6


def _data(rng: np.random.Generator, *leading: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((*leading, N, SIZES[0])), rng.integers(0, 3, (*leading, N))


@pytest.mark.parametrize(
    ("activation", "batch_norm", "dropout", "weight_decay"),
    list(itertools.product(["relu", "sigmoid", "tanh"], [False, True], [0.0, 0.3], [0.0, 0.1])),
)
@pytest.mark.parametrize("stack", [(), (2,)], ids=str)
def test_gradient(
    activation: str,
    batch_norm: bool,
    dropout: float,
    weight_decay: float,
    stack: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(4)
    network = MLP(
        SIZES,
        activation=activation,
        batch_norm=batch_norm,
        dropout=dropout,
        weight_decay=weight_decay,
        rng=rng,
        dtype=np.float64,
        stack=stack,
    )
    for param in network.params.values():  # no zeros and ones that could hide a mistake
        param += 0.1 * rng.standard_normal(param.shape)
    reports = check_network(network, *_data(rng))
    assert [report.name for report in reports] == list(network.params)


def test_parameters_have_the_books_names_and_shapes() -> None:
    network = MLP((5, 4, 3), batch_norm=True, dropout=0.5, rng=np.random.default_rng(0))
    shapes = {name: param.shape for name, param in network.params.items()}
    assert shapes == {
        "W1": (5, 4), "b1": (4,), "gamma1": (4,), "beta1": (4,), "W2": (4, 3), "b2": (3,),
    }  # fmt: skip
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Affine", "BatchNorm", "ReLU", "Dropout", "Affine"]
    gradient = network.gradient(np.ones((2, 5)), np.array([0, 1]))
    assert {name: grad.shape for name, grad in gradient.items()} == shapes


def test_dropout_leaves_the_generator_to_its_owner() -> None:
    """So that contenders with and without dropout see the same batches."""
    x, t = _data(np.random.default_rng(0))
    drawn = []
    for dropout in (0.0, 0.5):
        rng = np.random.default_rng(7)
        network = MLP(SIZES, dropout=dropout, rng=rng)
        network.gradient(x, t)
        drawn.append((network.params["W1"].tolist(), rng.random()))
    assert drawn[0] == drawn[1]


def test_weight_decay_is_in_the_loss_over_weights_only_and_not_in_evaluate() -> None:
    x, t = _data(np.random.default_rng(0))
    losses = {}
    for decay in (0.0, 0.5):
        network = MLP(
            SIZES,
            batch_norm=True,
            weight_decay=decay,
            rng=np.random.default_rng(1),
            dtype=np.float64,
        )
        network.params["b1"] += 3
        losses[decay] = network.loss(x, t), network.evaluate(x, t)
    squares = sum(np.sum(network.params[name] ** 2) for name in ("W1", "W2", "W3"))
    np.testing.assert_allclose(losses[0.5][0] - losses[0.0][0], 0.5 * 0.5 * squares)
    assert losses[0.5][1] == losses[0.0][1]
    np.testing.assert_allclose(losses[0.0][0], losses[0.0][1][0])


def test_loss_and_gradient_are_those_of_the_separate_calls() -> None:
    x, t = _data(np.random.default_rng(0))
    network = MLP(SIZES, weight_decay=0.1, rng=np.random.default_rng(1), dtype=np.float64)
    loss, gradient = network.loss_and_gradient(x, t)
    assert loss == network.loss(x, t, training=True)
    again = network.gradient(x, t)
    assert gradient.keys() == network.params.keys()
    for name, grad in gradient.items():
        np.testing.assert_array_equal(grad, again[name])
        assert grad is not again[name]  # an earlier gradient is never overwritten


def test_training_never_asks_for_the_derivative_by_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = MLP(SIZES, rng=np.random.default_rng(0))
    first = network.layers[0]
    assert isinstance(first, Affine)
    monkeypatch.setattr(first, "backward", None)
    network.gradient(*_data(np.random.default_rng(0)))


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_everything_stays_float32(activation: str, batch_norm: bool) -> None:
    x, t = _data(np.random.default_rng(0))  # float64 data
    network = MLP(
        SIZES,
        activation=activation,
        batch_norm=batch_norm,
        dropout=0.2,
        weight_decay=0.1,
        rng=np.random.default_rng(0),
    )
    loss, gradient = network.loss_and_gradient(x, t)
    optimizer("adam", 0.1).update(network.params, gradient)
    arrays = [loss, network.predict(x), network.evaluate(x, t)[0], network.loss(x, t)]
    arrays += [*gradient.values(), *network.params.values()]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@pytest.mark.parametrize("shared_data", [True, False])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_a_stack_is_its_single_networks(shared_data: bool, rule: str, batch_norm: bool) -> None:
    rng = np.random.default_rng(0)
    x, t = _data(rng) if shared_data else _data(rng, 3)

    def build(seed: int, stack: tuple[int, ...] = ()) -> MLP:
        return MLP(
            SIZES,
            batch_norm=batch_norm,
            weight_decay=0.1,
            rng=np.random.default_rng(seed),
            dtype=np.float64,
            stack=stack,
        )

    singles = [build(seed) for seed in range(3)]
    stacked = build(9, stack=(3,))
    for i, single in enumerate(singles):
        for name, param in single.params.items():
            stacked.params[name][i] = param
    rules = [optimizer(rule, 0.1) for _ in singles]
    stacked_rule = optimizer(rule, 0.1)
    for _ in range(4):
        loss, gradient = stacked.loss_and_gradient(x, t)
        assert loss.shape == (3,)
        stacked_rule.update(stacked.params, gradient)
        for i, (single, single_rule) in enumerate(zip(singles, rules, strict=True)):
            data = (x, t) if shared_data else (x[i], t[i])
            single_loss, single_gradient = single.loss_and_gradient(*data)
            single_rule.update(single.params, single_gradient)
            np.testing.assert_allclose(loss[i], single_loss, rtol=1e-9)
            for name, grad in single_gradient.items():
                np.testing.assert_allclose(gradient[name][i], grad, rtol=1e-7, atol=1e-12)
    stacked_loss, stacked_accuracy = stacked.evaluate(x, t)
    for i, single in enumerate(singles):
        data = (x, t) if shared_data else (x[i], t[i])
        single_loss, single_accuracy = single.evaluate(*data)
        np.testing.assert_allclose(stacked_loss[i], single_loss, rtol=1e-7)
        assert stacked_accuracy[i] == single_accuracy
        np.testing.assert_allclose(stacked.predict(x)[i], single.predict(data[0]), rtol=1e-7)


def test_data_with_other_leading_axes_than_the_stack_is_refused_in_training() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"training needs data of shape \(N, D\)"):
        MLP(SIZES, rng=rng).gradient(*_data(rng, 3))


def test_no_hidden_layer_is_softmax_regression() -> None:
    rng = np.random.default_rng(0)
    network = MLP((5, 3), rng=rng, dtype=np.float64)
    x, t = _data(rng)
    np.testing.assert_allclose(network.predict(x), x @ network.params["W1"])
    check_network(network, x, t)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (5,)}, "at least two positive numbers, got"),
        ({"sizes": (5, 0, 3)}, "at least two positive numbers, got"),
        ({"activation": "gelu"}, "'gelu': choose relu, sigmoid, tanh"),
        ({"init": "normal"}, "'normal': choose he, xavier, zeros"),
        ({"dropout": 1.5}, "dropout must be"),
        ({"weight_decay": -1.0}, "weight decay must be at least 0"),
    ],
)
def test_bad_settings_are_refused(change: dict, message: str) -> None:
    settings = {"sizes": SIZES, "rng": np.random.default_rng(0), **change}
    with pytest.raises(ValueError, match=message):
        MLP(settings.pop("sizes"), **settings)
