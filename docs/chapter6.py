"""Runs every experiment of chapter 6 and writes the gallery `docs/chapter6.md` with its figures.

    python docs/chapter6.py            at full size, on MNIST: 11 to 14 minutes on two cores
    python docs/chapter6.py --quick    at the size of the tests, into another database and folder

The studies go into `book.db` in the working directory. What is there already is finished, not run
again: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

import hpo
from hpo.errors import HpoError
from hpo.overview import list_studies
from hpo.reports import figures, plotting, style
from hpo.space import Choice
from hpo.study import Stage
from hpo.summary import Summary

NAMES = (  # in the order of the book
    "optimizer-paths",
    "optimizers-mnist",
    "zero-weights",
    "activations",
    "initial-weights-mnist",
    "batch-norm",
    "overfitting",
    "weight-decay",
    "dropout",
    "ensemble",
    "validation-split",
    "grid-vs-random",
    "hyperparameters",
)
NARROWED = "hyperparameters"
STAGES = 3
"""Of the one that is narrowed, as the book does by hand."""

HEAD = """\
# Chapter 6, experiment by experiment

Every experiment of chapter 6 of *Deep Learning from Scratch* (Koki Saitoh, 2016) is a study here:
run by the same service, stored in the same database, with its figure and its *findings*: what the
book says or what one would conclude from it, what was measured, and whether it holds. Where the
book gives no number, such as for "almost" or "as good", the yardstick is ours. Where
contenders are said to be ahead, they are with every seed, unless means or a count are given.
`hpo start ch06/NAME` runs one, `hpo plot` draws its figure, `hpo show` prints its findings. Most
take MNIST (`hpo data fetch mnist`); with `--quick` they are small enough for the digits that are
installed, where some findings come out differently.

The contenders of a comparison share their seeds: they see the same batches, and begin with the same
weights where these are not what is compared. Lines are means over the seeds; bands, where there are
any and nothing else is said, their whole range. Where the book looks at test images while it
experiments, these studies look at images held out from the training file, on which none of them
trains; the test set stays locked.

`{command}` wrote this page.{warning}

"""
QUICK = """

**This is the quick size: small images (digits), fewer seeds, shorter trainings.** The text under a
heading is about the full one, on MNIST; here some findings come out differently."""


def main(quick: bool) -> None:
    """Run what is missing and write the page."""
    folder = Path("chapter6-quick") if quick else Path(__file__).parent
    database = Path("book-quick.db" if quick else "book.db")
    storage = f"sqlite:///{database}"
    for number, name in enumerate(NAMES, start=1):
        print(f"\n{number} of {len(NAMES)}: ch06/{name}", flush=True)
        run(name, database, storage, quick)
    print("\nDrawing the figures …", flush=True)
    summaries = {summary.study.name: summary for summary in list_studies(storage=storage)}
    shown = [summaries[f"ch06/{name}"] for name in NAMES]
    text = page(shown, quick)
    (folder / "chapter6").mkdir(parents=True, exist_ok=True)
    for name, summary in zip(NAMES, shown, strict=True):
        style.save(plotting.own(summary, storage), folder / "chapter6" / f"{name}.png")
    best_twenty = draw_best_twenty(summaries[f"ch06/{NARROWED}"], storage)
    style.save(best_twenty, folder / "chapter6" / f"{NARROWED}-best.png")
    (folder / "chapter6.md").write_text(text)
    print(f"Wrote {folder / 'chapter6.md'}")


def run(name: str, database: Path, storage: str, quick: bool) -> None:
    """Bring a study to its end, wherever it is."""
    study = f"ch06/{name}"
    there = list_studies(storage=storage) if database.exists() else []
    known = {summary.study.name: len(summary.searches) for summary in there}
    stages = STAGES if name == NARROWED else 1
    if study not in known:
        hpo_command("start", study, "--name", study, *["--quick"] * quick, storage=storage)
        known[study] = 1
    else:
        hpo_command("resume", study, storage=storage)
    for number in range(known[study], stages):
        hpo_command("narrow", study, storage=storage)
        if len(hpo.show(study, storage=storage).searches) == number:
            return  # another is not worth its trials, and the page says so


def hpo_command(*arguments: str, storage: str) -> None:
    """Run the command, as a reader of the page would."""
    command = [Path(sys.executable).with_name("hpo"), *arguments, "--storage", storage]
    ended = subprocess.run(command, check=False)
    if ended.returncode != 0:
        sys.exit(ended.returncode)


def draw_best_twenty(summary: Summary, storage: str) -> Figure:
    """Draw figure 6-24 of the book: the curves of the best twenty trials inside its range."""
    first = replace(summary, stages=summary.stages[:1], trials=summary.trials[:1])
    curves = hpo.curves(summary.study.id, storage=storage).query("stage == 1")
    return figures.learning_curves(first, curves)


def page(summaries: list[Summary], quick: bool) -> str:
    """Return the gallery as Markdown."""
    table = ["| experiment | what is said | it holds |", "|---|---|---|"]
    for name, summary in zip(NAMES, summaries, strict=True):
        if not summary.findings:
            sys.exit(f"{summary.study.name} has no finding: look with hpo show")
        for finding in summary.findings:
            verdict = "yes" if finding.holds else "**no**"
            table.append(f"| [{name}](#{name}) | {finding.claim} | {verdict} |")
    command = "python docs/chapter6.py --quick" if quick else "make book"
    head = HEAD.format(command=command, warning=QUICK if quick else "")
    sections = [section(*each, quick) for each in zip(NAMES, summaries, strict=True)]
    return "\n".join([head + "\n".join(table) + "\n", *sections])


def section(name: str, summary: Summary, quick: bool) -> str:
    """Return what the page says of one experiment: what it is, its figure, its findings."""
    about = importlib.import_module(f"studies.ch06.{name.replace('-', '_')}").__doc__
    assert about is not None
    stages = summary.searches
    trials = sum(len(summary.of(stage)) for stage in stages)
    seeds = max(stage.seeds for stage in stages)
    replicates = f", {seeds} seeds for each setting" if seeds > 1 else ""
    options = " --quick" if quick else ""
    options += f" --stages {STAGES}" if name == NARROWED else ""
    lines = [
        f"## {name}\n",
        f"{about.strip()}\n",
        f"`hpo start ch06/{name}{options}`: {trials} trials{replicates}.\n",
        f"![{name}](chapter6/{name}.png)\n",
    ]
    if name == NARROWED:
        lines += [f"- {ranges(stage)}" for stage in stages]
        if len(stages) < STAGES:
            lines.append("- no other: it was not worth its trials, by the rule of `hpo narrow`")
        lines.append("")
        lines.append(f"![the best twenty](chapter6/{name}-best.png)\n")
        lines.append("The best five inside the book's range:\n")
        for place, trial in enumerate(summary.top(summary.stages[0]), start=1):
            settings = ", ".join(f"{key} {value:.3g}" for key, value in trial.params.items())
            lines.append(f"{place}. validation accuracy {trial.value:.3f}: {settings}")
        lines.append("")
    for finding in summary.findings:
        verdict = "holds" if finding.holds else "does not hold"
        lines.append(f"- *{finding.claim}*: **{verdict}**. Measured: {finding.measured}.")
    return "\n".join(lines) + "\n"


def ranges(stage: Stage) -> str:
    """Return where a stage of the study that is narrowed has searched, and how."""
    shown = ", ".join(
        f"{name} {style.edge(axis.low)} … {style.edge(axis.high)}"
        for name, axis in stage.space.axes.items()
        if not isinstance(axis, Choice)
    )
    return f"stage {stage.number} ({stage.sampler}): {shown}"


def arguments() -> argparse.Namespace:
    """Return what was asked for; anything unknown is refused."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="the size of the tests, on digits")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main(arguments().quick)
    except HpoError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
