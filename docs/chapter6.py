"""Runs every experiment of chapter 6 and writes the gallery `docs/chapter6.md` with its figures.

    python docs/chapter6.py [--quick]

The studies go into the database `book.db` in the working directory. What is there already is
finished, not run again: an interrupted run goes on where it was.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import hpo
from hpo.catalog import definition_names
from hpo.summary import Summary

STORAGE = "sqlite:///book.db"
DOCS = Path(__file__).parent
STAGES = {"ch06/hyperparameters": 3}
"""This one is narrowed, as the book does by hand."""

HEAD = """\
# Chapter 6, experiment by experiment

Every experiment of chapter 6 of *Deep Learning from Scratch* (Koki Saitoh, 2016) is a study here:
run by the same service, stored in the same database, with its figure and its *finding*: what the
book says, what was measured, and whether it holds. `hpo start ch06/NAME` runs one, `hpo plot` draws
its figure, `hpo show` prints its finding.

The contenders of a comparison share their seeds: they begin with the same weights and see the same
batches. Where the book looks at test images while it experiments, these studies look at the last
10,000 training images, on which none of them trains; the test set stays locked.

This page was written by `make book`{size}, in {minutes:.0f} minutes of training.

{table}
"""


def main(quick: bool) -> None:
    """Run what is missing and write the page."""
    names = [name for name in definition_names() if name.startswith("ch06/")]
    known = {summary.study.name for summary in studies()}
    for name in names:
        if name in known:
            command = ["resume", name]
        else:
            command = ["start", name, "--name", name, "--stages", STAGES.get(name, 1)]
            command += ["--quick"] * quick
        hpo_command = Path(sys.executable).with_name("hpo")
        subprocess.run([hpo_command, *map(str, command), "--storage", STORAGE], check=True)
    folder = DOCS / "chapter6"
    folder.mkdir(exist_ok=True)
    summaries = {summary.study.name: summary for summary in studies()}
    for name in names:
        with tempfile.TemporaryDirectory() as plots:
            hpo.plot(name, storage=STORAGE, out=plots)
            shutil.copy(Path(plots, "figure.png"), folder / f"{file_name(name)}.png")
    (DOCS / "chapter6.md").write_text(page([summaries[name] for name in names], quick))


def studies() -> list[Summary]:
    """Return the studies that are in the database already."""
    from hpo.overview import list_studies

    return list_studies(storage=STORAGE) if Path("book.db").exists() else []


def page(summaries: list[Summary], quick: bool) -> str:
    """Return the gallery as Markdown."""
    seconds = sum(t.seconds or 0 for each in summaries for trials in each.trials for t in trials)
    rows = ["| experiment | the book says | it holds |", "|---|---|---|"]
    for summary in summaries:
        name = summary.study.name.removeprefix("ch06/")
        for finding in summary.findings:
            verdict = "yes" if finding.holds else "**no**"
            rows.append(f"| [{name}](#{file_name(name)}) | {finding.claim} | {verdict} |")
    size = " at the quick size, on digits" if quick else ""
    head = HEAD.format(size=size, minutes=seconds / 60, table="\n".join(rows))
    return "\n".join([head, *map(section, summaries)])


def section(summary: Summary) -> str:
    """Return what the page says of one experiment: what it is, its figure, its findings."""
    name = summary.study.name.removeprefix("ch06/")
    module = importlib.import_module(f"studies.ch06.{name.replace('-', '_')}")
    assert module.__doc__ is not None
    trials = sum(len(trials) for trials in summary.trials)
    seeds = max(stage.seeds for stage in summary.stages)
    replicates = f", {seeds} seeds for each setting" if seeds > 1 else ""
    lines = [
        f"## {name}\n",
        f"{module.__doc__.strip()}\n",
        f"`hpo start ch06/{name}`: {trials} trials{replicates}.\n",
        f"![{name}](chapter6/{file_name(name)}.png)\n",
    ]
    for finding in summary.findings:
        verdict = "holds" if finding.holds else "does not hold"
        lines.append(f"- *{finding.claim}*: **{verdict}**. Measured: {finding.measured}.")
    return "\n".join(lines) + "\n"


def file_name(name: str) -> str:
    """Return the name of an experiment as its file and its heading have it."""
    return name.removeprefix("ch06/")


if __name__ == "__main__":
    main("--quick" in sys.argv[1:])
