"""What the book's job costs as a whole, beside Optuna and a plain loop.

    python benchmarks/job.py [--quick] [--json FILE]

100 random trials of 50 epochs on MNIST (`mnist-book`, from `HPO_DATA_DIR`), from the start of the
processes to their end, with every curve in an SQLite file:

* hpo: `hpo start mnist-book --workers 2`
* Optuna: stock Optuna on its own RDBStorage, the same objective in two processes
  (`optuna_job.py`); its tables are made before the clock starts
* as the book tells it: a plain loop in float64, which stores nothing (`book_as_told.py`), in one
  process, with as many threads as NumPy takes
* its training alone: what two processes need that only train, one trial after the other
  (`book_trial.py`): half of 100 times the median trial of both

They work in turns. A ratio is that of two runs of one round, and what is shown is the median of
all rounds; the plain loop runs in the first round only. Files go to a temporary folder; TMPDIR
names another disk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import optuna
from machine import machine
from optuna_job import STUDY
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from targets import Result, results_table

HPO = Path(sys.executable).with_name("hpo")
HERE = Path(__file__).parent
OURS, OPTUNA, TOLD, ALONE = "hpo", "Optuna", "as the book tells it", "its training alone"

Seconds = dict[str, list[float]]


def program(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(HERE / name), *map(str, arguments)]


def outputs(*commands: list[str]) -> list[str]:
    """Run commands beside one another, and return what they print."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [subprocess.Popen(command, text=True, **pipes) for command in commands]
    answers = [process.communicate() for process in started]
    for process, (_, told) in zip(started, answers, strict=True):
        if process.returncode != 0:
            raise SystemExit(f"{process.args!r} failed:\n{told}")
    return [printed for printed, _ in answers]


def seconds_of(*commands: list[str]) -> float:
    began = time.perf_counter()
    outputs(*commands)
    return time.perf_counter() - began


def by_hpo(trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/hpo.db"
        job = ["start", "mnist-book", "--workers", 2, "--trials", trials, "--storage", storage]
        return seconds_of([str(HPO), *map(str, job)])


def by_optuna(trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/optuna.db"
        optuna.create_study(study_name=STUDY, storage=url, direction="maximize")
        return seconds_of(*(program("optuna_job.py", url, trials // 2, seed) for seed in (0, 1)))


def as_told(trials: int) -> float:
    return seconds_of(program("book_as_told.py", trials))


def alone(trials: int) -> float:
    """Return what the trials cost two processes that only train."""
    few = max(5, trials // 10)
    printed = outputs(*(program("book_trial.py", few) for _ in range(2)))
    each = [float(line) for text in printed for line in text.split()]
    return statistics.median(each) * trials / 2


def measure(trials: int, rounds: int) -> Seconds:
    seconds: Seconds = {OURS: [], ALONE: [], OPTUNA: [], TOLD: []}
    for number in range(rounds):
        seconds[OURS].append(by_hpo(trials))
        seconds[ALONE].append(alone(trials))
        seconds[OPTUNA].append(by_optuna(trials))
        if number == 0:
            seconds[TOLD].append(as_told(trials))
    return seconds


def ratio(seconds: Seconds, one: str, other: str) -> float:
    """Return the median over all rounds that have both of the ratio within one."""
    pairs = zip(seconds[one], seconds[other], strict=False)
    return statistics.median(a / b for a, b in pairs)


def beyond(seconds: Seconds) -> float:
    """Return what hpo takes besides a second for its start, per second of training."""
    pairs = zip(seconds[OURS], seconds[ALONE], strict=True)
    return statistics.median((ours - 1) / training for ours, training in pairs)


def table(seconds: Seconds, trials: int) -> Table:
    shown = Table(title=f"{trials} trials of 50 epochs", title_justify="left", box=MARKDOWN)
    shown.add_column("")
    for column in ("s (median)", "min", "max", "× hpo"):
        shown.add_column(column, justify="right")
    for name, each in seconds.items():
        times = (statistics.median(each), min(each), max(each))
        shown.add_row(name, *(f"{time:.1f}" for time in times), f"{ratio(seconds, name, OURS):.2f}")
    return shown


def results(seconds: Seconds) -> Iterator[Result]:
    yield Result("(hpo - 1 s) / its training alone", beyond(seconds), 1.15)
    yield Result("Optuna / hpo", ratio(seconds, OPTUNA, OURS), 2.2, at_most=False)
    yield Result("as the book tells it / hpo", ratio(seconds, TOLD, OURS), 7, at_most=False)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the book's job costs.")
    parser.add_argument("--quick", action="store_true", help="20 trials, one round: a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write table and raw numbers")
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 110)
    about = machine()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    trials, rounds = (20, 1) if options.quick else (100, 5)
    seconds = measure(trials, rounds)
    found = list(results(seconds))
    console.print(table(seconds, trials))
    console.print(results_table(found))
    if options.json:
        results_ = [{**asdict(result), "met": result.met} for result in found]
        answer = {"machine": about, "results": results_, "seconds": seconds}
        options.json.write_text(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
