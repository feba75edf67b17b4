"""What a start of `hpo` costs, beside that of Python itself.

    python benchmarks/startup.py [--quick] [--json FILE]

The commands run in turns, and a ratio is that of two runs of one round: a busy neighbour slows down
both. What is shown is the median of all rounds. CPU is that of the command and of the workers that
it has started.

The first trial is that of `hpo start digits --trials 2` on a new database: from the start of the
command to the moment when a worker that has the data is given the trial.

Files go to a temporary folder; TMPDIR names another disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from machine import machine
from rich.console import Console
from rich.table import Table

HPO = Path(sys.executable).with_name("hpo")
FLOOR = "python -c pass"
FIRST_TRIAL = "first trial of 2"
JOB = ("start", "digits", "--trials", "2", "--set", "epochs=1", "--storage")
COMMANDS = {
    FLOOR: (sys.executable, "-c", "pass"),
    "hpo --help": (HPO, "--help"),
    "hpo list": (HPO, "list"),
    "hpo show": (HPO, "show", "1"),
}
TARGETS = {"hpo --help": 0.3, "hpo list": 0.6, FIRST_TRIAL: 1.0}
"""Seconds; those of a machine with nothing else to do."""


@dataclass(frozen=True)
class Run:
    """One run of a command.

    Args:
        wall: Seconds to its end, or to its first trial.
        cpu: Seconds of CPU to its end.
    """

    wall: float
    cpu: float


Runs = dict[str, list[Run]]


def run(command: Sequence[str | Path], folder: Path) -> Run:
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr:
        told = process.stderr.read()  # to its end, which is that of the command
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{told}")
    return Run(wall, used.ru_utime + used.ru_stime)


def first_trial(folder: Path) -> Run:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        url, began = f"sqlite:///{place}/new.db", time.time()
        whole = run((HPO, *JOB, url), folder)
        first = optuna.load_study(study_name="digits/1", storage=url).trials[0]
    assert first.datetime_start is not None
    return Run(first.datetime_start.timestamp() - began, whole.cpu)


def measure(rounds: int) -> Runs:
    """Return the runs of each command, one in each round."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    runs: Runs = {name: [] for name in (*COMMANDS, FIRST_TRIAL)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run((HPO, *JOB, "sqlite:///hpo.db"), folder)  # what is looked at
        for number in range(rounds + 1):
            found = {name: run(command, folder) for name, command in COMMANDS.items()}
            found[FIRST_TRIAL] = first_trial(folder)
            for what, each in found.items() if number > 0 else ():  # the first fills caches
                runs[what].append(each)
    return runs


def ratio(runs: Runs, what: str) -> float:
    """Return the median over all rounds of the ratio to Python's own start within one."""
    pairs = zip(runs[what], runs[FLOOR], strict=True)
    return statistics.median(one.wall / floor.wall for one, floor in pairs)


def table(runs: Runs) -> Table:
    shown = Table(title="From the start of the command")
    shown.add_column("command")
    for column in ("s (median)", "min", "max", "CPU s", "x python", "target", "met"):
        shown.add_column(column, justify="right")
    for what, each in runs.items():
        walls = [run.wall for run in each]
        numbers = (statistics.median(walls), min(walls), max(walls))
        cpu, target = statistics.median(run.cpu for run in each), TARGETS.get(what)
        shown.add_row(
            what,
            *(f"{number:.3f}" for number in (*numbers, cpu)),
            f"{ratio(runs, what):.1f}",
            f"≤ {target} s" if target else "",
            ("yes" if numbers[0] <= target else "no") if target else "",
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="What a start of hpo costs.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw numbers")
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 110)
    about = machine()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    runs = measure(rounds=5 if options.quick else 15)
    console.print(table(runs))
    if options.json:
        results = [
            {
                "what": what,
                "measured": statistics.median(run.wall for run in each),
                "x_python": ratio(runs, what),
                "target": TARGETS.get(what),
            }
            for what, each in runs.items()
        ]
        answer = {"machine": about, "results": results, "runs": runs}
        options.json.write_text(json.dumps(answer, default=asdict, indent=1))


if __name__ == "__main__":
    main()
