"""Studies made through Optuna's own functions, here and in processes of their own."""

import math

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from processes import Child, start_python, together


def a_study(storage: BaseStorage) -> int:
    return storage.create_new_study([StudyDirection.MINIMIZE], "study")


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 1e-6, 1e-2, log=True)
    n = trial.suggest_int("n", 1, 64, step=3)
    kind = trial.suggest_categorical("kind", ["sgd", None, 3])
    trial.set_user_attr("tuple", (1, 2))
    trial.set_user_attr("nested", {"a": [math.inf, "ü"]})
    for step, value in enumerate([x, math.nan, math.inf, -math.inf, n]):
        trial.report(value, step)
    if trial.number % 5 == 3:
        raise optuna.TrialPruned
    if trial.number % 5 == 4:
        raise ValueError("an objective that fails")
    return math.inf if trial.number == 7 else x * n + (kind == "sgd")


def curve(trial: optuna.Trial) -> float:
    """Report twenty values."""
    x = trial.suggest_float("x", 0, 1)
    for step in range(20):
        trial.report(x + step, step)
    return x


def optimize(storage: BaseStorage) -> None:
    study = optuna.create_study(
        storage=storage, study_name="study", sampler=optuna.samplers.RandomSampler(seed=1)
    )
    study.enqueue_trial({"x": 0.001, "n": 4, "kind": None}, user_attrs={"queued": True})
    study.optimize(objective, n_trials=12, catch=(ValueError,))
    study.enqueue_trial({"x": 0.002})
    study.set_user_attr("note", [1, None])


def record(storage: BaseStorage) -> str:
    """All of a study's trials as text, which NaN equals itself in."""
    study_id = storage.get_study_id_from_name("study")
    return repr(
        [
            (
                trial.number,
                trial.state,
                trial.values,
                trial.params,
                trial.distributions,
                sorted(trial.user_attrs.items()),
                sorted(trial.system_attrs.items()),
                sorted(trial.intermediate_values.items()),
                trial.datetime_start,
                trial.datetime_complete,
            )
            for trial in storage.get_all_trials(study_id)
        ]
        + [storage.get_study_user_attrs(study_id), storage.get_study_directions(study_id)]
    )


def start(code: str, url: str) -> Child:
    """Start code in a fresh process, which waits until it is let go."""
    lines = [line.removeprefix("        ") for line in code.splitlines()]
    program = "\n".join(
        [
            "import os, sys, warnings",
            "import optuna",
            "from optuna.study import StudyDirection",
            "from optuna.trial import TrialState",
            "from optuna_studies import curve",
            "from processes import ready",
            "from hpo.store.optuna_storage import Storage",
            # NumPy has threads; from Python 3.12 on, a fork warns of any.
            "warnings.filterwarnings('ignore', '.*fork', DeprecationWarning)",
            "optuna.logging.set_verbosity(optuna.logging.ERROR)",
            "url = sys.argv[1]",
            "ready()",
            *lines,
        ]
    )
    return start_python(program, url)


def run(code: str, url: str, processes: int = 1) -> str:
    """Run code in fresh processes that begin together; return what they print."""
    return "".join(together([start(code, url) for _ in range(processes)]))
