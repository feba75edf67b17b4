"""Studies on the screen: the list of all, and one with its stages and failures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from hpo.cli import final_screen, hints, words
from hpo.cli.console import err, out, padded
from hpo.finalist import Finalist
from hpo.space import Choice
from hpo.study import Stage
from hpo.summary import Summary
from hpo.trial import Trial, TrialState

WIDTH = 100
"""Columns of a table where no terminal has a width."""

ERRORS = 5
"""Different errors of a stage that are shown, the most frequent first."""

NAMED = 5
"""Trials that failed alike and are named."""

_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
"""In what is said of a failure: trials failed alike if only these differ."""

_RETRIED = {
    "lost": "lost (the worker died)",
    "cancelled": "cancelled",
    "abandoned": "abandoned (hpo ended and could not give them back)",
    "expired": "expired (hpo was stopped for too long)",
    "copied": "copied (its Optuna study was renamed meanwhile)",
    "requeued": "requeued (another program put them back into Optuna's queue)",
    "unknown": "of an older hpo",
}


def study_list(summaries: Sequence[Summary]) -> None:
    """Print all studies of a database, a line each."""
    rows = []
    for summary in summaries:
        top = summary.observed()
        counted = sum(summary.counts(stage).counted for stage in summary.stages)
        budget = sum(stage.budget for stage in summary.stages)
        rows.append(
            (
                str(summary.study.id),
                summary.study.name,
                str(len(summary.stages)),
                f"{counted}" if counted == budget else f"{counted} of {budget}",
                words.score(top) if top is not None else "–",
                f"{summary.study.created_at:%Y-%m-%d %H:%M} UTC",
            )
        )
    _columns(("id", "name", "stages", "trials", "best", "started"), rows)


def study(summary: Summary) -> None:
    """Print a study: its stages with their ranges, and why each was made."""
    shown = summary.study
    facts = (
        f" · seed {shown.definition.search.seed} · started {shown.created_at:%Y-%m-%d %H:%M} UTC"
    )
    if shown.definition.search.pruner != "none":
        facts += f" · pruner {shown.definition.search.pruner}"
    if shown.definition.test is not None:
        facts += f" · test set: {final_screen.times(summary.uses)}"
    out.print(Text.assemble(f"study {shown.id} · ", (shown.name, "bold"), facts, "\n"))
    axes = {name: axis for stage in summary.stages for name, axis in stage.space.axes.items()}
    names = list(axes)
    bars = {name: [_stage_bar(summary, stage, name) for stage in summary.stages] for name in names}
    facts_of_stages = []
    for stage in summary.stages:
        top = summary.observed(stage)
        branched = stage.parent not in (None, stage.number - 1)
        facts_of_stages.append(
            (
                str(stage.number),
                f"{stage.kind} of {stage.parent}" if branched else stage.kind,
                stage.sampler,
                _trials(summary, stage),
                words.score(top) if top is not None else "–",
            )
        )
    titles = ("stage", "kind", "sampler", "trials", "best")
    beside = [
        (*f, *b) for f, b in zip(facts_of_stages, zip(*bars.values(), strict=True), strict=True)
    ]
    if _fits((*titles, *names), beside):
        _columns((*titles, *names), beside)
    else:
        _columns(titles, facts_of_stages)
        out.print()
        _ranges_below(bars, [str(stage.number) for stage in summary.stages])
    ranges = [bar for name in names if not isinstance(axes[name], Choice) for bar in bars[name]]
    if ranges:
        out.print(f"\n{words.legend(ranges, 'its five best')}", style="dim")
    for stage in summary.stages:
        if not stage.searches:
            out.print()
            finalists(summary, stage)
            continue
        if stage.evidence is None:
            continue
        out.print(f"\nstage {stage.number}, from stage {stage.parent}:")
        for name, axis in stage.evidence["axes"].items():
            out.print(f"  {name}: {axis['action']}, {axis['reason']}")
        for warning in stage.evidence["warnings"]:
            out.print(Text.assemble("  ", ("!", "yellow"), f" {warning}"))


def finalists(summary: Summary, stage: Stage) -> None:
    """Print what a stage of `confirm` found, the best setting first."""
    found = summary.confirmed(stage)
    best = next((finalist for finalist, _ in found if finalist.scored), None)
    rows, tied = [], False
    for finalist, interval in found:
        mean, ends, mark = "–", "–", ""
        if finalist.mean is not None and interval is not None:
            mean = words.score(finalist.mean)
            if interval.low is not None and interval.high is not None:
                ends = f"{words.score(interval.low)} … {words.score(interval.high)}"
            if interval.tied and finalist is not best:
                tied, mark = True, "="
        trial = f"{finalist.source[0]}/{finalist.source[1]}"
        rows.append((mark, mean, ends, _lost(finalist), trial, words.settings(finalist.params)))
    settings = "1 setting" if len(found) == 1 else f"{len(found)} settings"
    counts = summary.counts(stage)
    to_come = f", {counts.open} of {stage.budget} trials to come" if counts.open else ""
    out.print(f"stage {stage.number}, {settings} × {stage.seeds} fresh seeds{to_come}:")
    _columns(("", "mean", "95 % interval", "lost", "trial", "setting"), rows)
    if any(said is None or said.low is None for _, said in found):
        out.print("– fewer than two different scores, which tell no interval", style="dim")
    if tied:
        out.print("= cannot be told apart from the first, seed by seed", style="dim")


def _lost(finalist: Finalist) -> str:
    """Return how many replicates gave no score, as `2 of 5 diverged`."""
    others = finalist.lost - finalist.diverged
    kinds = ((finalist.diverged, "diverged"), (others, "failed"))
    told = [f"{count} of {finalist.seeds} {kind}" for count, kind in kinds if count]
    return ", ".join(told) or "–"


def findings(summary: Summary, console: Console = out) -> None:
    """Print what the study was made to check, and what came of it."""
    if not summary.findings:
        return
    seeds = max(stage.seeds for stage in summary.searches)
    told = f" ({seeds} seeds per setting)" if seeds > 1 else ""
    console.print(f"\nFindings{told}", style="bold")
    for finding in summary.findings:
        verdict, style = ("holds", "green") if finding.holds else ("does not hold", "yellow")
        hanging(console, Text(f"  {verdict:<15}", style), Text(words.printable(finding.claim)))
        hanging(console, Text(" " * 17), Text(words.printable(finding.measured), "dim"))


def hanging(console: Console, head: Text, body: Text) -> None:
    """Print a text whose further lines begin below its first one."""
    width = max(console.width - len(head), 10)
    for line in [body] if console.soft_wrap else body.wrap(console, width):
        console.print(Text.assemble(head, line))
        head = Text(" " * len(head))


def deleted(summary: Summary) -> None:
    """Print which stages have no parameters and scores any more."""
    for stage in summary.stages:
        if stage.deleted:
            err.print(
                f"stage {stage.number}: its Optuna study {stage.optuna_study} was deleted, and "
                "with it parameters and scores",
                soft_wrap=True,
            )


def retries(summary: Summary) -> None:
    """Print why attempts did not count and were made again, and what others decided."""
    for stage in summary.stages:
        others = [str(trial.number) for trial in summary.of(stage) if trial.reason == "told"]
        if others:
            out.print(
                f"\nstage {stage.number}, ended by a person or another program, which gave their "
                f"score: trial{'s' * (len(others) > 1)} {', '.join(others)}",
                soft_wrap=True,
            )
        reasons = Counter(reason for trial in summary.of(stage) for reason in trial.retried)
        if reasons:
            told = ", ".join(f"{count} {_RETRIED[reason]}" for reason, count in reasons.items())
            total = reasons.total()
            out.print(
                f"\nstage {stage.number}, {total} attempt{'s' * (total > 1)} that did not count: "
                f"{told}",
                soft_wrap=True,
            )


def failures(summary: Summary, storage: str | None, *, whole: bool) -> None:
    """Print why trials failed.

    Args:
        summary: The study.
        storage: What the command was given.
        whole: Whether to print the whole traceback of the first.
    """
    failed = [
        t for stage in summary.stages for t in summary.of(stage) if t.state is TrialState.FAIL
    ]
    for stage in summary.stages:
        here = [trial for trial in failed if trial.stage == stage.number]
        if here:
            out.print(f"\nstage {stage.number}, {len(here)} of {stage.budget} trials failed:")
            _alike(here)
    first = next((trial for trial in failed if trial.reason == "error"), None)
    if first is None or first.error is None:
        return
    if whole:
        out.print(f"\nstage {first.stage}, trial {first.number}:\n{first.error.rstrip()}")
    else:
        command = f"hpo show {summary.study.id} --debug{hints.suffix(storage)}"
        which = f"trial {first.stage}/{first.number}"
        out.print(f"\nThe whole traceback of {which}: {command}", soft_wrap=True)


def _alike(failed: Sequence[Trial]) -> None:
    """Print trials that failed, a line for those that failed alike, the most frequent first."""
    groups: dict[str, list[Trial]] = {}
    for trial in failed:
        groups.setdefault(_NUMBER.sub("…", words.failure(trial)), []).append(trial)
    frequent_first = sorted(groups.items(), key=lambda group: -len(group[1]))
    rare = [kind for kind, alike in frequent_first if alike[0].reason == "error"][ERRORS:]
    for kind, alike in frequent_first:
        if kind in rare:
            continue
        said = {words.failure(trial) for trial in alike}
        why = said.pop() if len(said) == 1 else kind
        numbers = ", ".join(str(trial.number) for trial in alike[:NAMED])
        if len(alike) == 1:
            out.print(f"  trial {numbers}: {why}")
        else:
            more = ", …" * (len(alike) > NAMED)
            out.print(f"  {len(alike)} trials ({numbers}{more}): {why}")
    if rare:
        out.print(f"  … and {sum(len(groups[kind]) for kind in rare)} with other errors")


def _ranges_below(bars: Mapping[str, Sequence[str]], stages: Sequence[str]) -> None:
    """Print the bars by parameter: a column per stage, or a line where there is no room."""
    titles = ("parameter", *(f"stage {number}" for number in stages))
    rows = [(name, *column) for name, column in bars.items()]
    if _fits(titles, rows):
        _columns(titles, rows)
        return
    cells = [(name, *c) for name, column in bars.items() for c in zip(stages, column, strict=True)]
    _columns(("parameter", "stage", ""), cells)


def _stage_bar(summary: Summary, stage: Stage, name: str) -> str:
    if name not in stage.space:
        return "–"
    scale = [other.space[name] for other in summary.stages if name in other.space]
    if (hull := _hull(summary, stage, name)) is not None:
        return words.bar(stage.space[name], scale, hull)
    best = [trial.params for trial in summary.top(stage) if not trial.diverged]
    five = words.extremes(stage.space, name, best)
    return words.bar(stage.space[name], scale, five, words.BEST)


def _hull(summary: Summary, stage: Stage, name: str) -> tuple[float, float] | None:
    """Return where the optimum could be, as the newest stage that follows from this one says."""
    for later in reversed(summary.searches):
        evidence = later.evidence
        if later.parent == stage.number and evidence and evidence["rule"] == "posterior":
            axis = evidence["axes"].get(name)
            if axis is not None and "hull" in axis["numbers"]:
                low, high = axis["numbers"]["hull"]
                return low, high
    return None


def _widths(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]


def _fits(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    widths = _widths(titles, rows)
    return sum(widths) + 3 * (len(widths) - 1) <= (out.width if out.is_terminal else WIDTH)


def _columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, as wide as it needs to be also where no terminal has a width."""
    widths = _widths(titles, rows)

    def line(cells: Sequence[str]) -> str:
        return "   ".join(map(padded, cells, widths)).rstrip()

    out.print(line(titles), style="dim")
    for row in rows:
        out.print(line(row))


def _trials(summary: Summary, stage: Stage) -> str:
    counts = summary.counts(stage)
    notes = [
        f"{count} {word}"
        for count, word in (
            (counts.open, "open"),
            (counts.failed, "fail"),
            (counts.pruned, "pruned"),
            (words.diverged(summary.of(stage)), "div."),
        )
        if count
    ]
    return f"{stage.budget}" + (f" ({', '.join(notes)})" if notes else "")
