"""A trial that was run again, on the screen."""

from __future__ import annotations

from rich.table import Table

from hpo.cli import words
from hpo.cli.console import err, out
from hpo.rerun import Replay
from hpo.study import Study
from hpo.trial import Trial, TrialState

DIFFERENCES = 10
"""Values that are shown one by one."""


def header(study: Study, trial: Trial) -> None:
    """Print what is about to run."""
    err.print(
        f"{study.name} · trial {trial.stage}/{trial.number} of study {study.id} · "
        f"{words.settings(trial.params)} · seed {trial.seed}",
        soft_wrap=True,
    )


def result(found: Replay) -> None:
    """Print whether it came out alike, and what did not."""
    stored, again = _ending(found.stored), _ending(found.again)
    if found.equal:
        score = " and the score" if found.stored.state is TrialState.COMPLETE else ""
        out.print(
            f"{_count(found.again.steps, 'step')}, {_count(found.values, 'value')}{score}: "
            "equal bit for bit."
        )
        if stored != "ended":
            out.print(f"It {stored}, as before.", soft_wrap=True)
    else:
        if stored != again:
            out.print(f"Before it {stored}, now it {again}.", soft_wrap=True)
        _differences(found)
    _changed(found)


def _differences(found: Replay) -> None:
    if not found.differences:
        return
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("step", "metric", "stored", "again"):
        table.add_column(title, overflow="fold")
    for difference in found.differences[:DIFFERENCES]:
        step = "–" if difference.step is None else str(difference.step)
        values = (difference.stored, difference.again)
        cells = ("none" if value is None else repr(value) for value in values)
        table.add_row(step, difference.metric, *cells)
    out.print(table)
    if len(found.differences) > DIFFERENCES:
        out.print(f"… and {len(found.differences) - DIFFERENCES} more")


def _changed(found: Replay) -> None:
    """Print which versions are others now; of an equal run too, since it is good to know."""
    for name, (then, now) in found.changed.items():
        out.print(f"{name} was {then}, is {now}")
    if not (found.equal or found.changed):
        out.print(
            "The versions are the same: the objective or its data changed, or it uses another "
            "source of randomness than run.seed."
        )


def _ending(trial: Trial) -> str:
    """Return how a trial ended, as the rest of a sentence."""
    if trial.diverged:
        return f"diverged at step {trial.diverged_at}"
    match trial.state:
        case TrialState.PRUNED:
            return "was pruned"
        case TrialState.FAIL:
            return f"failed: {words.failure(trial)}"
    return "ended"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"
