"""One contract for every layer: a new layer adds a row to LAYERS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from core import (
    Affine,
    BatchNorm,
    Dropout,
    GradientError,
    Layer,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
    check_layer,
    cross_entropy,
    numerical_gradient,
)
from core.functions import FloatArray

N, D, M = 6, 4, 3
Make = Callable[[np.random.Generator, tuple[int, ...], type], Layer]


def _affine(rng: np.random.Generator, stack: tuple[int, ...], dtype: type) -> Layer:
    return Affine(
        rng.standard_normal((*stack, D, M)).astype(dtype),
        rng.standard_normal((*stack, M)).astype(dtype),
    )


def _batch_norm(rng: np.random.Generator, stack: tuple[int, ...], dtype: type) -> Layer:
    return BatchNorm(
        rng.standard_normal((*stack, D)).astype(dtype),
        rng.standard_normal((*stack, D)).astype(dtype),
    )


LAYERS: dict[str, Make] = {
    "affine": _affine,
    "relu": lambda rng, stack, dtype: ReLU(),
    "sigmoid": lambda rng, stack, dtype: Sigmoid(),
    "tanh": lambda rng, stack, dtype: Tanh(),
    "batch_norm": _batch_norm,
    "dropout": lambda rng, stack, dtype: Dropout(0.4, rng),
    "dropout_0": lambda rng, stack, dtype: Dropout(0.0, rng),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())


@every_layer
@pytest.mark.parametrize("stack", [(), (3,), (2, 3)], ids=str)
def test_gradients_agree_with_central_differences(make: Make, stack: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    layer = make(rng, stack, np.float64)
    reports = check_layer(layer, rng.standard_normal((*stack, N, D)), rng=rng)
    assert {report.name for report in reports} == {"x", *layer.params}


@every_layer
def test_leading_axes_are_independent_layers(make: Make) -> None:
    rng = np.random.default_rng(1)
    stacked = make(rng, (3,), np.float64)
    x = rng.standard_normal((3, N, D))
    state = rng.bit_generator.state
    y = stacked.forward(x, training=True)
    dout = rng.standard_normal(y.shape)
    dx = stacked.backward(dout)
    rng.bit_generator.state = state  # one stream of masks, network after network
    for i in range(3):
        single = make(np.random.default_rng(2), (), np.float64)
        if isinstance(single, Dropout):
            single = Dropout(0.4 if (y == 0).any() else 0.0, rng)
        for name, param in single.params.items():
            param[...] = stacked.params[name][i]
        np.testing.assert_allclose(single.forward(x[i], training=True), y[i], rtol=1e-12)
        if not isinstance(single, Dropout):
            np.testing.assert_allclose(
                single.forward(x[i], training=False),
                stacked.forward(x, training=False)[i],
                rtol=1e-12,
            )
        np.testing.assert_allclose(single.backward(dout[i]), dx[i], rtol=1e-12, atol=1e-15)
        for name, grad in single.grads.items():
            np.testing.assert_allclose(grad, stacked.grads[name][i], rtol=1e-12)


@pytest.mark.parametrize("make", [_affine, _batch_norm])
def test_data_without_leading_axes_broadcasts_into_the_stack(make: Make) -> None:
    rng = np.random.default_rng(1)
    layer = make(rng, (3,), np.float64)
    x = rng.standard_normal((N, D))
    y = layer.forward(x, training=True)
    np.testing.assert_array_equal(y, layer.forward(np.stack([x] * 3), training=True))


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_inputs_are_never_modified(make: Make, training: bool) -> None:
    rng = np.random.default_rng(2)
    layer = make(rng, (), np.float32)
    x = rng.standard_normal((N, D)).astype(np.float32)
    x_before = x.copy()
    params_before = {name: param.copy() for name, param in layer.params.items()}
    y = layer.forward(x, training=training)
    if training:
        dout = rng.standard_normal(y.shape).astype(np.float32)
        y_before, dout_before = y.copy(), dout.copy()
        layer.backward(dout)
        np.testing.assert_array_equal(dout, dout_before)
        np.testing.assert_array_equal(y, y_before)
    np.testing.assert_array_equal(x, x_before)
    for name, param in layer.params.items():
        np.testing.assert_array_equal(param, params_before[name])


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_preserved(make: Make, dtype: type) -> None:
    rng = np.random.default_rng(3)
    layer = make(rng, (), dtype)
    x = rng.standard_normal((N, D)).astype(dtype)
    assert layer.forward(x, training=False).dtype == dtype
    y = layer.forward(x, training=True)
    assert y.dtype == dtype
    assert layer.backward(y).dtype == dtype
    assert layer.grads.keys() == layer.params.keys()
    for name, param in layer.params.items():
        assert layer.grads[name].dtype == dtype
        assert layer.grads[name].shape == param.shape


class BrokenTanh(Tanh):
    def backward(self, dout: FloatArray) -> FloatArray:
        return dout * (1 - self._y)  # the square is missing


class BrokenAffine(Affine):
    def backward_params(self, dout: FloatArray) -> None:
        super().backward_params(dout)
        self.grads["W"][1, 2] *= 1.0001


def test_gradient_check_fails_on_a_broken_layer_and_shows_both_gradients() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D))
    with pytest.raises(GradientError, match=r"x \(6, 4\): worst relative error"):
        check_layer(BrokenTanh(), x, rng=rng)
    broken = BrokenAffine(rng.standard_normal((D, M)), rng.standard_normal(M))
    with pytest.raises(GradientError) as failure:
        check_layer(broken, x, rng=rng)
    lines = str(failure.value).splitlines()
    assert lines[0].startswith("W (4, 3): worst relative error 1.0e-04")
    assert lines[1].startswith("  [1, 2]  backprop")
    assert "numerical" in lines[1]


class NanLayer(Tanh):
    def backward(self, dout: FloatArray) -> FloatArray:
        return super().backward(dout) * np.nan


def test_gradient_check_fails_on_nan_and_refuses_float32() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="inf"):
        check_layer(NanLayer(), rng.standard_normal((N, D)), rng=rng)
    with pytest.raises(ValueError, match="needs float64, x is float32"):
        check_layer(Tanh(), rng.standard_normal((N, D)).astype(np.float32), rng=rng)


def test_batch_norm_normalizes_and_averages() -> None:
    rng = np.random.default_rng(0)
    layer = BatchNorm(np.ones(D), np.zeros(D))
    x = 5 + 2 * rng.standard_normal((50, D))
    # Before any update, inference leaves x as it is: running mean 0, running variance 1.
    np.testing.assert_allclose(layer.forward(x, training=False), x, rtol=1e-6)
    y = layer.forward(x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(layer.running_mean, 0.1 * x.mean(axis=0))
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * x.var(axis=0))
    before = layer.running_mean.copy()
    layer.forward(x, training=False)
    np.testing.assert_array_equal(layer.running_mean, before)


def test_dropout_keeps_the_expectation_and_the_rate() -> None:
    layer = Dropout(0.3, np.random.default_rng(0))
    x = np.ones((1000, 100), np.float32)
    y = layer.forward(x, training=True)
    # 100,000 draws: the standard error of the share is 0.0014.
    assert abs(np.mean(y == 0) - 0.3) < 0.006
    assert abs(y.mean() - 1) < 0.009
    np.testing.assert_array_equal(layer.forward(x, training=False), x)
    np.testing.assert_array_equal(layer.backward(x), y)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0, float("nan")])
def test_dropout_refuses_a_rate_out_of_range(rate: float) -> None:
    with pytest.raises(ValueError, match="dropout must be at least 0 and less than 1"):
        Dropout(rate, np.random.default_rng(0))


@pytest.mark.parametrize("stack", [(), (3,)], ids=str)
def test_loss_head_gradient_and_shapes(stack: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((*stack, N, M)), rng.integers(0, M, (*stack, N))
    before = scores.copy()
    head = SoftmaxCrossEntropy()
    loss = head.forward(scores, labels)
    assert loss.shape == stack
    np.testing.assert_allclose(loss, cross_entropy(scores, labels))
    numerical = numerical_gradient(lambda s: float(np.sum(cross_entropy(s, labels))), scores)
    np.testing.assert_allclose(head.backward(), numerical, atol=1e-9)
    np.testing.assert_array_equal(head.backward(), head.backward())
    np.testing.assert_array_equal(scores, before)


def test_loss_head_keeps_float32_and_broadcasts_labels() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((3, N, M)).astype(np.float32)
    labels = rng.integers(0, M, N)
    head = SoftmaxCrossEntropy()
    loss = head.forward(scores, labels)
    assert loss.dtype == np.float32
    assert head.backward().dtype == np.float32
    assert head.backward().shape == scores.shape
    for i in range(3):
        np.testing.assert_allclose(loss[i], cross_entropy(scores[i], labels), rtol=1e-6)
