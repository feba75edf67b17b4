"""What training costs, beside its matrix products, PyTorch and a plain loop.

    python benchmarks/training.py [--quick] [--json FILE]

One trial of the book's job on MNIST (from `HPO_DATA_DIR`), on one thread; see `book_trial`. The
contenders work in turns in one process, and a ratio is that of two runs of one round: a busy
neighbour slows down both. What is shown is the median of all rounds. Without PyTorch (pip install
'hpo-service[gp]') its row is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import book_trial  # first: it decides how many threads NumPy has
import numpy as np
from book_as_told import train as train_as_told
from machine import machine
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from targets import Result, results_table

PRODUCTS, CORE, TORCH, TOLD = "its matrix products", "core", "PyTorch", "as the book tells it"

Seconds = dict[str, list[float]]


def contenders(console: Console) -> dict[str, book_trial.Work]:
    found = {
        PRODUCTS: book_trial.products_alone(),
        CORE: book_trial.by_core(),
        TOLD: lambda: train_as_told(0.01, 1e-6, np.random.default_rng(0)),
    }
    try:
        found[TORCH] = book_trial.by_torch()
    except ImportError:
        console.print("PyTorch is not installed: its row is left out.")
    return found


def measure(works: dict[str, book_trial.Work], rounds: int) -> Seconds:
    """Return the seconds of each contender, one number in each round."""
    seconds: Seconds = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if number:  # the first fills caches
                seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(seconds: Seconds, one: str, other: str) -> float:
    """Return the median over all rounds of the ratio within one."""
    pairs = zip(seconds[one], seconds[other], strict=True)
    return statistics.median(a / b for a, b in pairs)


def table(seconds: Seconds) -> Table:
    shown = Table(title="One trial, one thread", title_justify="left", box=MARKDOWN)
    shown.add_column("")
    for column in ("ms (median)", "min", "max", "× its products", "× core"):
        shown.add_column(column, justify="right")
    for name, each in seconds.items():
        times = (statistics.median(each), min(each), max(each))
        ratios = (ratio(seconds, name, PRODUCTS), ratio(seconds, name, CORE))
        shown.add_row(
            name, *(f"{1000 * time:.0f}" for time in times), *(f"{r:.2f}" for r in ratios)
        )
    return shown


def results(seconds: Seconds) -> Iterator[Result]:
    yield Result("core / its matrix products", ratio(seconds, CORE, PRODUCTS), 1.35)
    if TORCH in seconds:
        yield Result("core / PyTorch", ratio(seconds, CORE, TORCH), 0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description="What training costs.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write table and raw numbers")
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 110)
    about = machine()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    seconds = measure(contenders(console), rounds=5 if options.quick else 25)
    found = list(results(seconds))
    console.print(table(seconds))
    console.print(results_table(found))
    if options.json:
        results_ = [{**asdict(result), "met": result.met} for result in found]
        answer = {"machine": about, "results": results_, "seconds": seconds}
        options.json.write_text(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
