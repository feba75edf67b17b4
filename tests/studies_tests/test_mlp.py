"""The objective: what it reports and returns, what it depends on, what it never touches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.errors import DataError, ObjectiveError
from hpo.objective import Diverged, Pruned
from hpo.worker import Setup, WorkerRun, run_trial
from studies import mlp, splits
from studies.data import Digits

DIGITS: dict[str, Any] = {"data": "digits", "lr": 0.1, "hidden": [50, 50], "epochs": 5}
BOOK: dict[str, Any] = {"data": "mnist", "samples": 500, "hidden": [100] * 6, "epochs": 50}
# At lr 1000 all units die instead, and the loss stays finite.
DIVERGING: dict[str, Any] = {**DIGITS, "lr": 1e30}


class Report:
    """A run that keeps what is reported."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.steps: list[int] = []
        self.metrics: list[dict[str, float]] = []

    def report(self, step: int, **metrics: float) -> None:
        self.steps.append(step)
        self.metrics.append(metrics)


def never_asked() -> dict[str, Any]:
    raise AssertionError("without a pruner nothing is asked")


def trained(seed: int = 0, **changes: Any) -> tuple[float, list[dict[str, float]]]:
    """The score and the curve of one run; a setting changed to None is left out."""
    run = Report(seed)
    params = {key: value for key, value in (DIGITS | changes).items() if value is not None}
    return mlp.train(params, run), run.metrics


def setup() -> Setup:
    """What a worker knows of a definition that names this objective."""
    return Setup(
        {
            "objective": "studies.mlp:train",
            "describe": "studies.mlp:describe",
            "metric": "val_accuracy",
            "direction": "maximize",
            "folder": None,
            "test": "studies.mlp:test",
            "tests": False,
        }
    )


# Training -------------------------------------------------------------------------------------


def test_it_learns_and_reports_every_epoch() -> None:
    run = Report()
    score = mlp.train(DIGITS, run)

    assert run.steps == [1, 2, 3, 4, 5]
    for metrics in run.metrics:
        assert metrics.keys() == {"train_accuracy", "val_accuracy", "train_loss", "val_loss"}
        assert all(type(value) is float for value in metrics.values())
    assert score == run.metrics[-1]["val_accuracy"]
    assert score > 0.85  # chance: 0.1
    assert run.metrics[-1]["train_loss"] < run.metrics[0]["train_loss"]


def test_the_score_is_the_last_one_not_the_best() -> None:
    curves = [trained(seed, lr=0.5, batch_size=20) for seed in range(5)]
    last = [curve[-1]["val_accuracy"] for _, curve in curves]
    best = [max(metrics["val_accuracy"] for metrics in curve) for _, curve in curves]
    assert [score for score, _ in curves] == last
    assert last != best


@pytest.mark.parametrize("more", [{}, {"dropout": 0.3, "batch_norm": True, "optimizer": "adam"}])
def test_the_seed_decides_everything(more: dict[str, Any]) -> None:
    more = {"lr": 0.01, **more}
    assert trained(7, **more) == trained(7, **more)
    assert trained(7, **more) != trained(8, **more)


def test_the_split_does_not_depend_on_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[splits.Split] = []
    load = splits.load
    monkeypatch.setattr(
        splits, "load", lambda *args, **kwargs: seen.append(load(*args, **kwargs)) or seen[-1]
    )
    trained(1, epochs=1)
    splits._shuffled.cache_clear()
    trained(2, epochs=1)
    trained(1, epochs=1, split_seed=1)
    for one, other in zip(seen[0], seen[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(seen[0].t_val, seen[2].t_val)


def test_layers_and_width_are_another_way_to_write_hidden() -> None:
    assert trained(hidden=None, layers=2, width=50) == trained(hidden=[50, 50])


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.05},
        {"hidden": [50]},
        {"hidden": []},
        {"activation": "tanh"},
        {"init": "xavier"},
        {"init": 0.05},
        {"optimizer": "momentum"},
        {"weight_decay": 0.1},
        {"dropout": 0.2},
        {"batch_norm": True},
        {"batch_size": 30},
        {"samples": 1000},
        {"validation": 0.3},
        {"split_seed": 1},
    ],
)
def test_every_setting_has_an_effect(change: dict[str, Any]) -> None:
    assert trained(epochs=1, **change) != trained(epochs=1)


def test_momentum_has_an_effect_where_there_is_one() -> None:
    assert trained(epochs=1, momentum=0.5) == trained(epochs=1)  # of sgd there is none
    for optimizer in ("momentum", "nesterov"):
        default = trained(epochs=1, optimizer=optimizer)
        assert trained(epochs=1, optimizer=optimizer, momentum=0.9) == default
        assert trained(epochs=1, optimizer=optimizer, momentum=0.5) != default


def test_iterations_report_every_update_and_validate_at_the_end() -> None:
    score, curve = trained(epochs=None, iterations=60)
    assert len(curve) == 60
    assert all(metrics.keys() == {"train_loss"} for metrics in curve[:-1])
    assert curve[-1].keys() == {"train_loss", "val_loss", "val_accuracy"}
    assert score == curve[-1]["val_accuracy"]
    # 1,150 images in batches of 100 are 12 updates an epoch: the same network either way.
    assert score == trained(epochs=5)[0]


# The book's example: with He's initialization, inside its range of learning rates.
def test_the_book_s_setting_learns_mnist(real_mnist: Path) -> None:
    run = Report()
    assert mlp.train({**BOOK, "lr": 0.01}, run) > 0.7
    assert len(run.steps) == 50
    assert mlp.describe({key: BOOK[key] for key in ("data", "samples")})["train"] == 400


# Ends -----------------------------------------------------------------------------------------


def test_divergence_ends_the_training_at_once() -> None:
    sent: list[dict[str, Any]] = []
    run = WorkerRun(0, setup(), sent.append, (), never_asked)
    with pytest.raises(Diverged, match=r"_loss is (nan|inf) at step 1$"):
        mlp.train(DIVERGING, run)
    assert run.last_step == 1


@pytest.mark.parametrize("length", [{"epochs": 5}, {"iterations": 1}, {"iterations": 9}])
def test_a_diverged_trial_is_a_result(length: dict[str, int]) -> None:
    params = {key: value for key, value in DIVERGING.items() if key != "epochs"} | length
    ended = run_trial(
        setup(), {"seed": 0, "params": params, "ask_at": ()}, lambda message: None, never_asked
    )
    assert ended["state"] == "diverged"


def test_pruning_passes_through() -> None:
    class Impatient(Report):
        def report(self, step: int, **metrics: float) -> None:
            super().report(step, **metrics)
            if step == 2:
                raise Pruned

    run = Impatient()
    with pytest.raises(Pruned):
        mlp.train(DIGITS, run)
    assert run.steps == [1, 2]


def test_bad_settings_are_refused_before_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(splits, "_shuffled")
    for function in (lambda params: mlp.train(params, Report()), lambda p: mlp.test(p, 0)):
        with pytest.raises(ObjectiveError, match="There is no setting 'learning_rate'"):
            function({**DIGITS, "learning_rate": 0.1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "cifar"}, "There is no data set 'cifar'. There are: digits, mnist."),
        ({"samples": 5000}, "samples = 5000 is not possible: the data set 'digits' allows 2 to"),
        ({"validation": 1.5}, "validation = 1.5 of 1,437 images is not possible"),
        ({"split_seed": -1}, "split_seed = -1 is not possible: it must be 0 or above."),
    ],
)
def test_impossible_splits_are_data_errors(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        mlp.train({**DIGITS, **change}, Report())
    with pytest.raises(DataError, match=message):
        mlp.describe({**DIGITS, **change})


# Describing -----------------------------------------------------------------------------------


def test_describe_needs_the_data_alone() -> None:
    described = mlp.describe({"data": "digits"})
    assert described == splits.describe("digits", None, 0.2, 0)
    assert described == mlp.describe({"data": "digits", "samples": None, "epochs": 5})
    assert mlp.describe({"data": "digits", "samples": 100, "validation": 0.5})["train"] == 50


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({}, "data is missing: without a fixed data set none can be described."),
        ({"data": "digits", "epoch": 5}, "There is no setting 'epoch'"),
        ({"data": "digits", "optimizer": "sdg"}, "optimizer = 'sdg' is not possible"),
        ({"data": "digits", "hidden": [9], "width": 9}, "hidden and width do not go together"),
    ],
)
def test_describe_refuses_what_no_trial_could_use(fixed: dict[str, Any], message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        mlp.describe(fixed)


# The test set ---------------------------------------------------------------------------------


def test_search_never_opens_the_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*args: object) -> None:
        raise AssertionError("the test set was opened")

    monkeypatch.setattr(splits, "load_test", locked)
    monkeypatch.setattr(Digits, "read_test", locked)
    trained()
    trained(epochs=None, iterations=3)
    mlp.describe({"data": "digits"})
    with pytest.raises(AssertionError, match="was opened"):
        mlp.test(DIGITS, 0)


def test_the_test_is_an_accuracy_of_a_network_trained_on_all_else() -> None:
    result = mlp.test(DIGITS, 0)
    assert result.keys() == {"accuracy"}
    assert type(result["accuracy"]) is float
    assert 0.85 < result["accuracy"] <= 1.0
    assert (result["accuracy"] * 360) == pytest.approx(round(result["accuracy"] * 360))
    assert result == mlp.test(DIGITS, 0)
    assert result == mlp.test({**DIGITS, "validation": 0.5}, 0)  # validates nothing here
    assert any(mlp.test(DIGITS, seed) != result for seed in (1, 2, 3))


def test_the_test_trains_on_validation_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Watched(mlp.Trainer):
        def fit(self, train: Any, *args: Any, **kwargs: Any) -> None:
            seen.append(len(train[0]))
            super().fit(train, *args, **kwargs)

    monkeypatch.setattr(mlp, "Trainer", Watched)
    trained(epochs=1)
    mlp.test({**DIGITS, "epochs": 1}, 0)
    assert seen == [1150, 1437]


@pytest.mark.parametrize("length", [{"epochs": 5}, {"iterations": 1}, {"iterations": 9}])
def test_a_diverged_test_has_no_accuracy(length: dict[str, int]) -> None:
    params = {key: value for key, value in DIVERGING.items() if key != "epochs"} | length
    with pytest.raises(Diverged, match=r"(train|test)_loss is (nan|inf)"):
        mlp.test(params, 0)
