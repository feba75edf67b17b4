"""Whether searching in stages finds better settings than searching one box, and where it does not.

    python benchmarks/search.py --quick
    python benchmarks/search.py --into FILE [--part toys|real] [--seeds N] [--only d=3 ...]
    python benchmarks/search.py --tables FILE [--json FILE]

Every way to search gets the same number of trials. The toys are landscapes with a known optimum, so
that the regret of what is recommended is exact; the real part are studies of a network, judged by
`hpo final`.

A search whose result is in the file is not run again: stop a run at any time, and go on later. All
searches of one seed come before those of the next. `--only` keeps what fits, as in `--only d=3
noise=0.04` or `--only study=mnist-book method=hpo method=TPE`.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy is imported: the processes share the cores

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import search_tables
import study_search
import toy_search
from machine import machine
from rich.console import Console
from rich.progress import track
from targets import results_table

PROCESSES = 2

Job = dict[str, Any]
Line = dict[str, Any]
"""A job, and what came of it."""


def jobs(parts: Sequence[str], seeds: int, quick: bool) -> Iterator[Job]:
    for seed in range(seeds):
        if "toys" in parts:
            for d in (2,) if quick else toy_search.STAGE:
                for noise in (toy_search.NOISE, 0.0):
                    for land, method in toy_search.pairs():
                        about = {"d": d, "noise": noise, "landscape": land, "method": method}
                        yield {"part": "toys", **about, "seed": seed}
        if "real" in parts and not (quick and seed):
            for study, method in study_search.pairs(quick):
                yield {"part": "real", "study": study, "method": method, "seed": seed}


def fits(job: Job, only: Sequence[str]) -> bool:
    """Return whether a job has one of the wanted values of each key."""
    wanted: dict[str, set[str]] = {}
    for word in only:
        key, _, value = word.partition("=")
        wanted.setdefault(key, set()).add(value)
    return all(str(job.get(key)) in values for key, values in wanted.items())


def run(job: Job) -> Line:
    search = toy_search.searched if job["part"] == "toys" else study_search.searched
    began = time.perf_counter()
    found = search(**{key: value for key, value in job.items() if key != "part"})
    return {**job, **asdict(found), "seconds": round(time.perf_counter() - began, 2)}


def run_all(wanted: Sequence[Job], into: Path, console: Console) -> None:
    done = read(into)
    waiting = [job for job in wanted if not any(job.items() <= line.items() for line in done)]
    with into.open("a") as file, ProcessPoolExecutor(PROCESSES) as pool:
        futures = as_completed([pool.submit(run, job) for job in waiting])
        for future in track(futures, "Searches", len(waiting), console=console):
            file.write(json.dumps(future.result()) + "\n")
            file.flush()


def read(file: Path) -> list[Line]:
    """Return the results in a file; a line that a stopped run did not finish is none."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines(True) if line.endswith("\n")]


def main() -> None:
    parser = argparse.ArgumentParser(description="What searching in stages is worth.")
    parser.add_argument("--quick", action="store_true", help="2 dimensions and few seeds: a look")
    parser.add_argument("--part", choices=("toys", "real"), help="default both")
    parser.add_argument("--seeds", type=int, default=30, help="default 30")
    parser.add_argument("--only", nargs="*", default=[], metavar="KEY=VALUE", help="what to run")
    parser.add_argument("--into", type=Path, metavar="FILE", help="append results as JSON lines")
    parser.add_argument("--tables", type=Path, metavar="FILE", help="print its tables, run nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write tables and raw numbers")
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 140)

    with tempfile.TemporaryDirectory() as folder:
        into = options.tables or options.into or Path(folder) / "runs.jsonl"
        if options.tables is None:
            parts = [options.part] if options.part else ["toys", "real"]
            seeds = 3 if options.quick else options.seeds
            wanted = [j for j in jobs(parts, seeds, options.quick) if fits(j, options.only)]
            run_all(wanted, into, console)
        lines = read(into)
    about = machine()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    results = list(search_tables.results_of(lines))
    for table in (*search_tables.tables_of(lines), results_table(results)):
        console.print(table)
    if options.json:
        found = [{**asdict(result), "met": result.met} for result in results]
        options.json.write_text(
            json.dumps({"machine": about, "results": found, "runs": lines}, indent=1)
        )


if __name__ == "__main__":
    main()
