"""Six optimizers from the same start, and what would be found if all were SGD."""

from __future__ import annotations

from studies.ch06 import optimizers_mnist as study

NAME = "optimizers-mnist"


def test_what_the_book_says_holds(experiment) -> None:
    momentum_adagrad_adam, nesterov, _, adagrad_first = experiment(NAME).findings
    assert momentum_adagrad_adam.holds
    assert nesterov.holds
    assert adagrad_first.holds


def test_it_is_not_found_where_all_are_sgd(experiment) -> None:
    found = experiment(NAME)
    same = study.finding(found.trials, found.as_if_all("optimizer", were="sgd"))
    assert [finding.holds for finding in same] == [False] * 4


def test_all_start_from_the_same_weights_and_batch(experiment) -> None:
    found = experiment(NAME)
    first = found.curves.query("step == 1").merge(found.trials[["trial", "seed"]])
    losses = first.groupby("seed")["train_loss"]
    assert (losses.nunique() == 1).all()
    assert losses.first().nunique() == len(losses)


def test_an_optimizer_gets_the_learning_rate_of_the_book(monkeypatch) -> None:
    monkeypatch.setattr(study.mlp, "train", lambda params, run: params["lr"])
    rates = {name: study.train({"optimizer": name}, None) for name in ("sgd", "rmsprop", "adam")}
    assert rates == {"sgd": 0.01, "rmsprop": 0.01, "adam": 0.001}
    assert study.train({"optimizer": "adam", "lr": 0.1}, None) == 0.1  # somebody has set it


def test_the_figure_shows_losses_of_any_size(experiment) -> None:
    found = experiment(NAME)
    (ax,) = study.figure(found.trials, found.curves).axes
    assert ax.get_ylim() == (0, 1)
    huge = found.curves.assign(train_loss=1e9 + found.curves["train_loss"])
    (ax,) = study.figure(found.trials, huge).axes
    assert ax.get_ylim()[1] > 1e9
