from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from core import MLP, SGD, Trainer, optimizer


def _data(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes by the largest of three noisy sums: linearly separable."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 8)).astype(np.float32)
    return x, np.argmax(x[:, :3] - x[:, 3:6], axis=1)


def _trainer(seed: int = 0, lr: float = 0.1, batch_size: int = 20, **settings) -> Trainer:
    rng = np.random.default_rng(seed)
    network = MLP((8, 16, 3), rng=rng, **settings)
    return Trainer(network, SGD(lr), batch_size=batch_size, rng=rng)


def _curve(trainer: Trainer, *args, **kwargs) -> list[tuple[int, dict[str, float]]]:
    steps: list[tuple[int, dict[str, float]]] = []
    trainer.fit(*args, on_step=lambda step, metrics: steps.append((step, metrics)), **kwargs)
    return steps


class CountingSGD(SGD):
    updates = 0

    def update(self, params, grads) -> None:
        self.updates += 1
        super().update(params, grads)


@pytest.mark.parametrize(
    ("n", "batch_size", "updates"), [(360, 100, 4), (400, 100, 4), (50, 100, 1), (7, 2, 4)]
)
def test_every_epoch_is_recorded_and_walks_all_examples(
    n: int, batch_size: int, updates: int
) -> None:
    seen: list[np.ndarray] = []

    class Recording(MLP):
        def gradient(self, x, t):
            seen.append(x[:, 0].copy())
            return super().gradient(x, t)

    rng = np.random.default_rng(0)
    rule = CountingSGD(0.01)
    trainer = Trainer(Recording((8, 4, 3), rng=rng), rule, batch_size=batch_size, rng=rng)
    x, t = _data(n)
    curve = _curve(trainer, (x, t), epochs=50)
    assert [step for step, _ in curve] == list(range(1, 51))
    assert rule.updates == 50 * updates
    epochs = [np.concatenate(seen[i : i + updates]) for i in range(0, len(seen), updates)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.sort(x[:, 0]))
    assert not np.array_equal(epochs[0], epochs[1])  # shuffled anew
    assert [len(batch) for batch in seen[:updates]] == [
        min(batch_size, n - i) for i in range(0, n, batch_size)
    ]


def test_batches_keep_examples_with_their_labels() -> None:
    class Checking(MLP):
        def gradient(self, x, t):
            np.testing.assert_array_equal(np.argmax(x[:, :3] - x[:, 3:6], axis=1), t)
            return super().gradient(x, t)

    rng = np.random.default_rng(0)
    trainer = Trainer(Checking((8, 4, 3), rng=rng), SGD(0.1), batch_size=7, rng=rng)
    _curve(trainer, _data(50), epochs=2)


def test_metrics_are_full_passes_in_inference_mode_as_python_floats() -> None:
    rng = np.random.default_rng(0)
    network = MLP((8, 16, 3), dropout=0.5, batch_norm=True, weight_decay=0.1, rng=rng)
    trainer = Trainer(network, SGD(0.1), batch_size=20, rng=rng)
    train, validation = _data(60), _data(30, seed=1)
    _, metrics = _curve(trainer, train, validation, epochs=3)[-1]
    assert set(metrics) == {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    assert {type(value) for value in metrics.values()} == {float}
    for name, data in (("train", train), ("val", validation)):
        loss, accuracy = network.evaluate(*data)
        assert metrics[f"{name}_loss"] == loss
        assert metrics[f"{name}_accuracy"] == accuracy


@pytest.mark.parametrize("iterations", [1, 7, 9])
def test_iterations_are_exact_and_report_each_batchs_loss(iterations: int) -> None:
    rng = np.random.default_rng(0)
    rule = CountingSGD(0.1)
    network = MLP((8, 16, 3), rng=rng)
    first_loss, _ = network.evaluate(*_data(10))
    trainer = Trainer(network, rule, batch_size=20, rng=rng)
    curve = _curve(trainer, _data(60), iterations=iterations)
    assert rule.updates == iterations
    assert [step for step, _ in curve] == list(range(1, iterations + 1))
    assert all(set(metrics) == {"train_loss"} for _, metrics in curve)
    assert abs(curve[0][1]["train_loss"] - first_loss) < 1.0


def test_iterations_and_epochs_train_alike() -> None:
    by_epochs, by_iterations = _trainer(), _trainer()
    _curve(by_epochs, _data(50), epochs=2)
    _curve(by_iterations, _data(50), iterations=6)
    for name, param in by_epochs._network.params.items():
        np.testing.assert_array_equal(param, by_iterations._network.params[name])


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3, "batch_norm": True}])
def test_same_seed_same_bits(settings: dict) -> None:
    def run(seed: int) -> list:
        return _curve(_trainer(seed, **settings), _data(50), _data(20, 1), epochs=3)

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_learns_a_small_separable_problem() -> None:
    curve = _curve(_trainer(lr=0.3), _data(300), _data(200, 1), epochs=30)
    assert curve[-1][1]["train_accuracy"] > 0.97
    assert curve[-1][1]["val_accuracy"] > 0.9
    assert curve[-1][1]["train_loss"] < 0.2 * curve[0][1]["train_loss"]


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
@pytest.mark.parametrize("limit", [{"epochs": 5}, {"iterations": 15}], ids=str)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_divergence_is_reported_without_a_warning(
    name: str, limit: dict, weight_decay: float
) -> None:
    rng = np.random.default_rng(0)
    network = MLP((8, 16, 16, 3), weight_decay=weight_decay, rng=rng)
    trainer = Trainer(network, optimizer(name, 1e30), batch_size=20, rng=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve = _curve(trainer, _data(60), **limit)
    assert not math.isfinite(curve[-1][1]["train_loss"])


class StopHere(Exception):
    pass


@pytest.mark.parametrize("limit", [{"epochs": 5}, {"iterations": 5}], ids=str)
def test_what_the_callback_raises_passes_through(limit: dict) -> None:
    steps = []

    def on_step(step: int, metrics: dict[str, float]) -> None:
        steps.append(step)
        if step == 2:
            raise StopHere

    with pytest.raises(StopHere):
        _trainer().fit(_data(50), on_step=on_step, **limit)
    assert steps == [1, 2]


def test_the_callback_runs_with_its_own_floating_point_settings() -> None:
    outside, inside = np.geterr(), []
    _trainer().fit(_data(50), epochs=1, on_step=lambda *_: inside.append(np.geterr()))
    assert inside == [outside]


def test_data_is_converted_once_and_not_modified() -> None:
    x, t = _data(50)
    wide = x.astype(np.float64)
    before = wide.copy()
    same = _curve(_trainer(), (wide, t), epochs=2)
    assert same == _curve(_trainer(), (x, t), epochs=2)
    np.testing.assert_array_equal(wide, before)


@pytest.mark.parametrize("limit", [{}, {"epochs": 1, "iterations": 1}], ids=str)
def test_exactly_one_limit(limit: dict) -> None:
    with pytest.raises(ValueError, match="exactly one of epochs and iterations"):
        _curve(_trainer(), _data(50), **limit)


def test_bad_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="single network"):
        Trainer(MLP((8, 3), rng=rng, stack=(2,)), SGD(0.1), batch_size=1, rng=rng)
    with pytest.raises(ValueError, match="batch size must be at least 1"):
        _trainer(batch_size=0)
    x, t = _data(50)
    for data in ((x[:0], t[:0]), (x, t[:-1])):
        with pytest.raises(ValueError, match="as many examples as labels, and at least one"):
            _curve(_trainer(), data, epochs=1)
