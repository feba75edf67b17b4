"""What giving up hopeless trials saves, and what it costs.

    python benchmarks/pruning.py [--quick] [--json FILE]

The book's job, 100 random trials of at most 50 epochs on MNIST (`mnist-book`, from
`HPO_DATA_DIR`), with each pruner through the whole service, one worker, several seeds. Pruners of
one seed meet the same trials.

epochs: all that were trained, of those without a pruner. best: the best validation accuracy of a
completed trial, and what is lost of it: the mean over the seeds, and the most. expected: what the
recommended setting is expected to reach. Neither epochs nor values depend on the machine's speed.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy is imported: the processes share the cores

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from machine import machine
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table
from targets import Result, results_table

import hpo
from hpo.pruning import PRUNERS
from hpo.trial import TrialState

PROCESSES = 2


@dataclass(frozen=True)
class Run:
    """What came of one search."""

    pruner: str
    seed: int
    epochs: int
    completed: int
    pruned: int
    best: float
    expected: float


def search(pruner: str, seed: int, trials: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        summary = hpo.start(
            "mnist-book",
            storage=f"sqlite:///{Path(folder) / 'hpo.db'}",
            sampler="random",
            pruner=pruner,
            trials=trials,
            seed=seed,
            workers=1,
        )
    found = summary.of(summary.last)
    top, recommended = summary.maximum, summary.best()
    assert top is not None
    assert top.value is not None
    assert recommended is not None
    return Run(
        pruner=pruner,
        seed=seed,
        epochs=sum(trial.steps for trial in found),
        completed=sum(trial.state is TrialState.COMPLETE for trial in found),
        pruned=sum(trial.state is TrialState.PRUNED for trial in found),
        best=top.value,
        expected=recommended.mean,
    )


def search_all(seeds: int, trials: int, console: Console) -> list[Run]:
    with ProcessPoolExecutor(PROCESSES) as pool:
        jobs = [pool.submit(search, p, seed, trials) for seed in range(seeds) for p in PRUNERS]
        done = track(as_completed(jobs), "Searches", len(jobs), console=console)
        runs = [job.result() for job in done]
    return sorted(runs, key=lambda run: (PRUNERS.index(run.pruner), run.seed))


def of(runs: Sequence[Run], pruner: str) -> list[Run]:
    return [run for run in runs if run.pruner == pruner]


def share(runs: Sequence[Run], pruner: str) -> float:
    """Return the epochs with a pruner, of those without."""
    return sum(r.epochs for r in of(runs, pruner)) / sum(r.epochs for r in of(runs, "none"))


def losses(runs: Sequence[Run], pruner: str) -> list[float]:
    """Return by how much the best value is lower than without a pruner, for each seed."""
    pairs = zip(of(runs, "none"), of(runs, pruner), strict=True)
    return [without.best - with_.best for without, with_ in pairs]


def table(runs: Sequence[Run], trials: int) -> Table:
    seeds = len(of(runs, "none"))
    shown = Table(
        title=f"mnist-book, {trials} random trials, mean of {seeds} seeds",
        title_justify="left",
        box=MARKDOWN,
    )
    for column in ("pruner", "epochs", "of all", "completed", "best", "lost", "most", "expected"):
        shown.add_column(column, justify="left" if column == "pruner" else "right")
    for pruner in PRUNERS:
        rows, lost = of(runs, pruner), losses(runs, pruner)
        shown.add_row(
            pruner,
            f"{fmean(r.epochs for r in rows):,.0f}",
            f"{share(runs, pruner):.0%}",
            f"{fmean(r.completed for r in rows):.1f}",
            f"{fmean(r.best for r in rows):.3f}",
            f"{fmean(lost):.3f}",
            f"{max(lost):.3f}",
            f"{fmean(r.expected for r in rows):.3f}",
        )
    return shown


def results(runs: Sequence[Run]) -> Iterator[Result]:
    yield Result("asha: epochs, of those without a pruner", share(runs, "asha"), 1 / 3)
    yield Result("asha: lost of the best accuracy, mean", fmean(losses(runs, "asha")), 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description="What pruners save and cost.")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 40 trials: a look")
    parser.add_argument("--seeds", type=int, default=10, help="default 10")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write table and raw numbers")
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 120)
    seeds, trials = (2, 40) if options.quick else (options.seeds, 100)
    runs = search_all(seeds, trials, console)
    about = machine()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    found = list(results(runs))
    console.print(table(runs, trials))
    console.print(results_table(found))
    if options.json:
        results_ = [{**asdict(result), "met": result.met} for result in found]
        text = {"machine": about, "results": results_, "runs": [asdict(run) for run in runs]}
        options.json.write_text(json.dumps(text, indent=1))


if __name__ == "__main__":
    main()
