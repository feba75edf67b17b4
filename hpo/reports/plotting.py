"""Writing the figures of a study as files, its own one first."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from hpo.errors import ObjectiveError, UsageError
from hpo.overview import show
from hpo.reports import figures, frames, hooks, style
from hpo.reports.style import NothingToDraw, look
from hpo.summary import Summary

OWN = "figure.png"


@dataclass(frozen=True)
class Plots:
    """What `plot` did.

    Args:
        summary: The study.
        written: The files, in the order that `plot` names them in.
        left_out: Names of the files that were not written, each with the reason.
    """

    summary: Summary
    written: list[Path]
    left_out: dict[str, str]


def plot(study: str | int, *, storage: str | None = None, out: str | Path | None = None) -> Plots:
    """Write the figures of a study as PNG files.

    They are `figure.png` if the definition has a figure of its own, `learning_curves.png`,
    `history.png`, `ranges.png`, `slices.png`, `importance.png`; one that the study has nothing for
    is left out.

    Args:
        study: Id or name.
        storage: URL of the database.
        out: Folder, made if it is not there; default `plots-<name of the study>`.

    Raises:
        NotFoundError: There is no such study.
        UsageError: The folder cannot be made or written to.
    """
    summary = show(study, storage=storage)
    steps = frames.curves(study, storage=storage)
    if out is None:
        out = "plots-" + re.sub(r"[^\w.-]+", "_", summary.study.name)[:60]
    folder = Path(out)
    drawings: dict[str, Callable[[], Figure]] = {
        "learning_curves.png": partial(figures.learning_curves, summary, steps),
        "history.png": partial(figures.history, summary),
        "ranges.png": partial(figures.ranges, summary),
        "slices.png": partial(figures.slices, summary),
        "importance.png": partial(figures.importance, summary),
    }
    if summary.study.definition.figure is not None:
        drawings = {OWN: partial(own, summary, storage), **drawings}
    plots = Plots(summary, [], {})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in drawings.items():
            try:
                figure = draw()
            except (NothingToDraw, ObjectiveError) as reason:
                plots.left_out[name] = str(reason)
                continue
            try:
                style.save(figure, folder / name)
            except OSError:
                raise
            except Exception as error:  # much of a figure is looked at only when it is drawn
                if name != OWN:
                    raise
                told = hooks.told("figure", summary.study.definition, error)
                plots.left_out[name] = str(told)
                continue
            plots.written.append(folder / name)
    except OSError as error:
        raise UsageError(f"--out {folder}: cannot write there ({error.strerror})") from None
    return plots


@look()
def own(summary: Summary, storage: str | None) -> Figure:
    """Let the definition draw the study.

    Raises:
        ObjectiveError: Its `figure` cannot be imported, raised, or did not return a figure.
    """
    drawn = hooks.call("figure", summary.study, storage)
    if not isinstance(drawn, Figure):
        raise ObjectiveError(
            f"figure = {summary.study.definition.figure!r} returned {drawn!r}; it must return a "
            "matplotlib Figure"
        )
    return drawn
