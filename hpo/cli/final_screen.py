"""The uses of the test set on the screen: one that runs, its result, and those that there were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from hpo.cli import hints, words
from hpo.cli.console import err, out, padded
from hpo.study import Study
from hpo.summary import Summary, standard_error
from hpo.use import Score, Use

if TYPE_CHECKING:
    from hpo.evaluation import Final


def header(study: Study, use: Use, workers: int) -> None:
    """Print what is about to be tested."""
    err.print(
        f"{study.name} · {_ordinal(use)} use of the test set of study {study.id} · "
        f"trial {use.stage}/{use.trial} · {words.settings(use.params)}",
        soft_wrap=True,
    )
    data = study.description
    examples = f" of {data['train'] + data['validation']:,} examples" if data else ""
    test = f" · test set {data['test']:,}" if data else ""
    err.print(
        f"  retrained on training and validation set{examples} with {len(use.seeds)} seeds{test} · "
        f"{workers} worker{'s' * (workers > 1)}"
    )
    if use.done:
        err.print(
            f"  goes on where it was interrupted: {use.done} of {len(use.seeds)} seeds are done"
        )


def interrupted(study: Study, use: Use, storage: str | None) -> None:
    """Print what becomes of a use that was stopped."""
    told = hints.completed(f"Go on with: hpo final {study.id}", storage)
    err.print(f"{_ordinal(use)} use, {_unfinished(use)}. {told}", soft_wrap=True)


def result(found: Final) -> None:
    """Print what came of a test."""
    use, scores = found.use, found.scores
    rows: list[tuple[str, str, str]] = []
    for score in scores:
        rows += _rows(found.study, use, score)
    se = standard_error(found.study, use.value)
    said = f"of trial {use.stage}/{use.trial}, as recommended"
    by = f"with its standard error, {said}" if se is not None else said
    name = words.metric(found.study.definition.metric)
    rows.append((name, _with_noise(use.value, se), by))
    later = "what is chosen after a look at it looks better than it is" * (use.number > 1)
    rows.append(("test set", f"{_ordinal(use)} use", later))
    widths = [max(cell_len(row[i]) for row in rows if row[2]) for i in range(2)]
    for *cells, told in rows:
        line = "   ".join(map(padded, cells, widths))
        out.print(f"{line}   {told}".rstrip(), soft_wrap=True)


def _rows(study: Study, use: Use, score: Score) -> list[tuple[str, str, str]]:
    seeds, name = len(use.seeds), words.metric(score.name)
    values = "  ".join(_number(value) for value in score.values)
    of = f"mean and standard deviation of {seeds} seeds"
    if score.mean is None:
        of = f"no mean: nobody knows what {name} is worth where training diverged"
        if any(
            result and result.metrics and score.name not in result.metrics for result in use.results
        ):
            of = "no mean: test did not return it for every seed"
    rows = [
        (f"test {name}", "–" if score.mean is None else _with_noise(score.mean, score.sd), of),
        ("  each seed", values, ""),
    ]
    if use.diverged:
        known = next((score.values[i] for i, r in enumerate(use.results) if r and r.diverged), None)
        told = "" if known is None else f"counted with the chance level, {words.score(known)}"
        rows.append(("  diverged", f"{use.diverged} of {seeds}", told))
    if score.se is not None and study.description is not None:
        size = f"its standard error, from {study.description['test']:,} test examples"
        rows.append(("  noise", f"± {words.score(score.se)}", size))
    return rows


def uses(summary: Summary, storage: str | None) -> None:
    """Print every use of the test set, a line each."""
    if not summary.uses:
        return
    out.print("\nTest set", style="bold")
    metric = words.metric(summary.study.definition.metric)
    for use in summary.uses:
        told = f"{_ordinal(use)} use, {use.begun_at:%Y-%m-%d %H:%M} UTC, "
        told += f"trial {use.stage}/{use.trial}: {_came_of(summary, use)}"
        if use.finished_at is not None:
            told += f"; {metric} {words.score(use.value)}"
        elif use is summary.uses[-1]:
            again = f"Go on with: hpo final {summary.study.id}"
            told += f". {hints.completed(again, storage)}"
        out.print(f"  {told}", soft_wrap=True)


def what_next(summary: Summary, storage: str | None) -> None:
    """Print what makes sense next; if the test set was used, how often and what came of it."""
    from hpo.advice import advise  # and with it all that a database needs

    best, suffix = summary.best(), hints.suffix(storage)
    if best is None:
        return
    if summary.uses:
        last = summary.uses[-1]
        setting = ""
        if not last.same_setting(best.stage, best.trial):
            setting = f", another setting (trial {last.stage}/{last.trial})"
        told = f"{_ordinal(last)} use of the test set{setting}: {_came_of(summary, last)}"
        err.print(told, soft_wrap=True)
    elif not any(stage.open for stage in summary.stages):
        advice = advise(summary, summary.last)
        if advice.leads_on:
            err.print(f"Next: hpo {advice.command}{suffix}", soft_wrap=True)
        tests = summary.study.definition.test is not None
        if tests and advice.settles and not summary.newer:
            err.print(f"Test it, once: hpo final {summary.study.id}{suffix}", soft_wrap=True)


def times(used: Sequence[Use]) -> str:
    """Return how often the test set was used."""
    number = used[-1].number if used else 0
    return {0: "never used", 1: "used once"}.get(number, f"used {number} times")


def _came_of(summary: Summary, use: Use) -> str:
    if use.finished_at is None:
        return _unfinished(use)
    scores = use.scores(summary.study.description, summary.study.definition.metric)
    told = ", ".join(
        f"{words.metric(each.name)} "
        + ("–" if each.mean is None else _with_noise(each.mean, each.sd))
        for each in scores
    )
    lost = f", {use.diverged} diverged" if use.diverged else ""
    return f"{told} ({len(use.seeds)} seeds{lost})"


def _unfinished(use: Use) -> str:
    return f"interrupted after {use.done} of {len(use.seeds)} seeds"


def _ordinal(use: Use) -> str:
    return words.ordinal(use.number)


def _number(value: float | None) -> str:
    return "–" if value is None else words.score(value)


def _with_noise(value: float, noise: float | None) -> str:
    return words.score(value) + (f" ± {words.score(noise)}" if noise is not None else "")
