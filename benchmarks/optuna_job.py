"""Trials of the book's job in stock Optuna: one process of a study on a database.

    python benchmarks/optuna_job.py URL TRIALS SEED

The objective is that of `mnist-book`, and reports its validation accuracy after each epoch.
"""

from __future__ import annotations

import sys

import book_trial  # first: it decides how many threads NumPy has
import optuna

from studies import mlp

STUDY = "book"


class Reported(book_trial.Unheard):
    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def report(self, step: int, **metrics: float) -> None:
        self._trial.report(metrics["val_accuracy"], step)


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-6, 1e-2, log=True)
    weight_decay = trial.suggest_float("weight_decay", 1e-8, 1e-4, log=True)
    return mlp.train(book_trial.settings(lr, weight_decay), Reported(trial))


def main() -> None:
    url, trials, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.load_study(study_name=STUDY, storage=url, sampler=sampler)
    study.optimize(objective, n_trials=trials)


if __name__ == "__main__":
    main()
