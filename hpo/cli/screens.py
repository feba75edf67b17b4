"""What a person sees. Data goes to `out`, everything else to `err`."""

from __future__ import annotations

import json
import math
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from hpo import sampling
from hpo.advice import advise
from hpo.cli import hints, tables, words
from hpo.cli.console import err, out, padded
from hpo.launch import storage_url
from hpo.next_stage import Proposal
from hpo.space import Choice
from hpo.store.engine import database_path
from hpo.study import Ended, Stage, Study
from hpo.summary import SMALL_VALIDATION, Best, Summary, standard_error
from hpo.trial import TrialState


def print_json(document: Any) -> None:
    """Print a JSON document; a NaN, which JSON does not have, is null."""
    print(json.dumps(_without_nan(document), indent=2))


def header(study: Study, stage: Stage, workers: int, storage: str | None) -> None:
    """Print what is about to run."""
    seeds = f" ({stage.seeds} seeds per setting)" if stage.seeds > 1 else ""
    what = stage.sampler if stage.searches else stage.kind
    if study.pruner(stage) != "none":
        what += f" with {study.pruner(stage)}"
    title = (
        f" · stage {stage.number} of study {study.id} · "
        f"{what} · {stage.budget} trial{'s' * (stage.budget > 1)}{seeds} · "
        f"{workers} worker{'s' * (workers > 1)}   "
    )
    database = str(database_path(storage_url(storage)))
    err.print(Text.assemble((study.name, "bold"), title, (database, "dim")))
    width = max(map(cell_len, stage.space))
    for name, axis in stage.space.axes.items() if stage.searches else ():
        err.print(f"  {padded(name, width)}  {words.extent(axis)}{words.condition(axis)}")
    for params in stage.given:
        err.print(f"  {words.settings(params)}")
    if study.description is not None:
        data = study.description
        all_training = data["train"] + data["validation"]
        se = standard_error(study, 0.9)
        noise = f" (an accuracy of 0.9 is ± {words.score(se)})" if se is not None else ""
        err.print(
            f"  validation {data['validation']:,} of {all_training:,} examples{noise} · "
            f"test set {data['test']:,}, locked"
        )
    err.print()


def after_run(summary: Summary, storage: str | None, as_json: bool) -> None:
    """Print what came of a run."""
    if as_json:
        print_json(summary.to_json())
    if summary.stopped is None or summary.ended is not None:
        stage = _stage_of_interest(summary)
        if not as_json:
            best_five(summary, stage)
            tables.findings(summary)
        outlook(summary, stage, storage)
    if summary.stopped is not None:
        told = hints.completed(summary.stopped, storage)  # it may end in a command
        err.print(f"No new stage: {told}", soft_wrap=True)
        suffix = hints.suffix(storage)
        looks = [f"hpo show {summary.study.id}{suffix}"]
        if "hpo " not in summary.stopped and (summary.settled is None or summary.newer):
            looks.append(f"make sure of the best: hpo confirm {summary.study.id}{suffix}")
        err.print(f"Look at what there is: {' · '.join(looks)}", soft_wrap=True)


def finding_missing(summary: Summary, storage: str | None) -> None:
    """Say so where a study has none of the findings that it was to have."""
    name = summary.study.definition.finding
    if name is not None and not summary.findings and not any(s.open for s in summary.stages):
        resume = f"hpo resume {summary.study.id}{hints.suffix(storage)}"
        err.print(f"No finding of {name} is stored. To hear why: {resume}", soft_wrap=True)


def best_five(summary: Summary, stage: Stage) -> None:
    """Print the five best settings of a stage in the book's manner, or the finalists."""
    if not stage.searches:
        tables.finalists(summary, stage)
        return
    top = summary.top_settings(stage)
    if not top:
        return
    title = "Best five" if len(top) == 5 else "Best"
    if stage.seeds > 1:
        title += f", means of {'up to ' * bool(summary.counts(stage).open)}{stage.seeds} seeds"
    out.print(title, style="bold")
    metric = words.metric(summary.study.definition.metric)
    for place, trial in enumerate(top, 1):
        assert trial.value is not None
        settings = ", ".join(
            f"{name.replace('_', ' ')}: {words.number(value)}"
            for name, value in trial.params.items()
        )
        out.print(f"  Best-{place} ({metric}: {words.score(trial.value)}) | {settings}")


def outlook(summary: Summary, stage: Stage, storage: str | None) -> None:
    """Print the recommendation, the warnings and the next command."""
    study, suffix = summary.study, hints.suffix(storage)
    counts = summary.counts(stage)
    best = summary.best()
    lost = _lost(summary, stage)
    if told := _saved(summary, stage):
        err.print(told)
    if best is None or summary.observed(stage) is None:
        if not counts.open and not stage.searches:
            command = f"hpo confirm {study.id}{suffix}"
            err.print(f"No setting was confirmed: {lost}. The next ones: {command}")
            return
        if not counts.open:
            failed = next((t for t in summary.of(stage) if t.state is TrialState.FAIL), None)
            why = f" The first error: {words.failure(failed)}" if failed else ""
            if stage.seeds == 1:
                err.print(f"No trial gave a result: {lost}.{why}")
            else:  # a trial may have: its setting has lost too many of its seeds
                err.print(f"No setting has a result: of {counts.counted} trials, {lost}.{why}")
            cure = advise(summary, stage)
            if cure.leads_on:
                err.print(f"Next: hpo {cure.command}{suffix}", soft_wrap=True)
            else:
                err.print("Mend the objective or its ranges, and start again.")
            return
    else:
        err.print(f"Recommended: {words.settings(best.params)} – {_reached(summary, best)}.")
        if told := _ties(summary):
            err.print(told)
        _confirmed_before(summary, storage)
        if stage.searches:  # a mean of many seeds is no gain over the luckiest trial
            _gain(summary, stage)
        if lost:
            _warn(f"Of {counts.counted} trials, {lost}.")
    advice = None if counts.open else advise(summary, stage)
    for lean in advice.leans if advice else ():
        _warn(f"{lean.sentence[0].upper()}{lean.sentence[1:]}.")
    data = study.description
    noise = standard_error(study, best.mean) if best else None
    if data is not None and data["validation"] < SMALL_VALIDATION and noise is not None:
        _warn(
            f"The validation set has {data['validation']:,} examples: "
            f"accuracies within ± {words.score(2 * noise)} are hard to tell apart."
        )
    if advice is None:
        why = "The time is over" if summary.ended is Ended.TIMEOUT else "Stopped"
        command = f"hpo resume {study.id}{suffix}"
        told = f"{why}: {counts.counted} of {stage.budget} trials are counted. Go on with: "
        err.print(Text.assemble(told, (command, "bold")), soft_wrap=True)
        return
    command = f"hpo {advice.command}{suffix}"
    looks = " · ".join(f"hpo {c}" for c in ("dashboard", f"plot {study.id}", f"report {study.id}"))
    # The terminal breaks the lines, so that commands can be copied; long ones have their own.
    if suffix:
        err.print(Text.assemble("Next: ", (command, "bold")), soft_wrap=True)
        err.print(f"Look: {looks}, each with{suffix}", soft_wrap=True)
    else:
        told = f"      look: {looks}"
        err.print(Text.assemble("Next: ", (command, "bold"), told), soft_wrap=True)


def decision(found: Proposal, console: Console = err) -> None:
    """Print a narrowing: old and new range of each parameter, and why."""
    stage = found.stage
    what = "trials" if stage.seeds == 1 else f"settings, {stage.seeds} seeds each"
    title = f" · narrowing stage {stage.number} ({found.decision.trials} {what})\n"
    console.print(Text.assemble((found.study.name, "bold"), title))
    mark = words.BEST if found.decision.rule == "book" else words.OPTIMUM
    rows, ranges = [], []
    for name, axis in found.decision.axes.items():
        new = axis.old if axis.new is None else axis.new
        hull = axis.numbers.get("hull")
        old_bar = words.bar(axis.old, [axis.old, new], tuple(hull) if hull else None, mark)
        new_bar = "–" if axis.new is None else words.bar(new, [axis.old, new])
        rows.append((name, old_bar, new_bar, axis.action, axis.reason))
        ranges += [] if isinstance(axis.old, Choice) else [old_bar, new_bar]
    widths = [max(cell_len(row[i]) for row in rows) for i in range(3)]
    titles = ("", f"stage {stage.number}", "next stage")
    console.print("  ".join(map(padded, titles, widths)), style="dim")
    colours = {"narrow": "green", "widen": "yellow", "keep": "dim"}
    for *cells, action, reason in rows:
        line = "  ".join(map(padded, cells, widths))
        console.print(Text(f"{line}  ").append(action, colours[action]))
        console.print(Text(f"{'':<{widths[0]}}  {reason}", "dim"))
    if found.nothing_to_do is None:
        console.print(f"\n{words.legend(ranges, 'the best')}" if ranges else "", style="dim")
        if sampling.needs_evidence(found.sampler) and found.carried:
            one = found.carried == 1
            console.print(
                f"{found.carried} trial{'s lie' if not one else ' lies'} inside the next ranges "
                f"and {'are' if not one else 'is'} carried over."
            )
        console.print(
            f"Next sampler: {found.sampler} ({_why_this_sampler(found)}), {found.budget} trials."
        )
    else:
        console.print(f"\nNo stage is made: {found.nothing_to_do}.")
    for warning in found.decision.warnings:
        _warn(warning, console)
    console.print()


def _why_this_sampler(found: Proposal) -> str:
    if found.sampler != found.decision.sampler:
        return "as asked"
    if found.decision.grows:
        return "the range grew"
    return "the range shrank" if found.decision.changed else "the ranges stay"


def best(summary: Summary, storage: str | None = None) -> None:
    """Print the recommended setting."""
    found = summary.best()
    if found is None:
        yet = " yet" * any(stage.open for stage in summary.stages)
        out.print(f"study {summary.study.id} has no result{yet}.")
        return
    width = max(map(cell_len, found.params))
    for name, value in found.params.items():
        out.print(f"{padded(name, width)}  {value!r}")
    metric = summary.study.definition.metric
    stage = next(stage for stage in summary.stages if stage.number == found.stage)
    err.print(f"{metric} {_reached(summary, found)}.")
    if told := _ties(summary):
        err.print(told)
    _confirmed_before(summary, storage)
    offset = standard_error(summary.study, found.mean)
    if offset is not None and summary.study.description is not None:
        examples = summary.study.description["validation"]
        err.print(
            f"All scores share {examples:,} validation examples, and may together be off by "
            f"± {words.score(offset)}."
        )
    top = summary.maximum
    if top is not None and top.value is not None and top.params != found.params:
        trial = f"trial {top.stage}/{top.number}"
        err.print(f"Best score of a single trial: {words.score(top.value)} ({trial}).")
    if not stage.searches:
        out.print()
        tables.finalists(summary, stage)


def _reached(summary: Summary, best: Best) -> str:
    """Return what the recommended setting is expected to reach, by what, and which it is."""
    trial = f"trial {best.stage}/{best.trial}"
    if best.value != best.mean:
        trial += f" scored {words.score(best.value)}"
    return f"{words.score(best.mean)}{_noise(best.se)}, {summary.basis(best)} ({trial})"


def _ties(summary: Summary) -> str:
    """Return how many settings cannot be told apart from the recommended one."""
    count = len(summary.ties)
    return f"{count} setting{'s' * (count > 1)} cannot be told apart from it." if count else ""


def _confirmed_before(summary: Summary, storage: str | None) -> None:
    """Print what was confirmed, and what is newer than that."""
    settled, count = summary.settled, len(summary.newer)
    if settled is None or not count:
        return
    finalist, interval = summary.confirmed(settled)[0]
    what = "no setting"
    if finalist.sound and interval is not None:
        trial = f"trial {settled.number}/{finalist.scored[0].number}"
        what = f"{words.score(interval.mean)}{_noise(interval.se)} ({trial})"
    told = f"Stage {settled.number} has confirmed {what}; "
    told += "1 trial is newer." if count == 1 else f"{count} trials are newer."
    if not any(stage.open for stage in summary.stages):
        told += f" Make sure of the best: hpo confirm {summary.study.id}{hints.suffix(storage)}"
    err.print(told, soft_wrap=True)


def _noise(se: float | None) -> str:
    return f" ± {words.score(se)}" if se is not None else ""


def _lost(summary: Summary, stage: Stage) -> str:
    """Return how many trials gave no score of their own, as `3 failed and 2 diverged`."""
    counts = summary.counts(stage)
    diverged = words.diverged(summary.of(stage))
    given_up = 0 if _saved(summary, stage) else counts.pruned
    kinds = ((counts.failed, "failed"), (given_up, "were pruned"), (diverged, "diverged"))
    return " and ".join(f"{count} {what}" for count, what in kinds if count)


def _saved(summary: Summary, stage: Stage) -> str:
    """Return how many trials a pruner has stopped, and what that saved; empty if it has not."""
    trials, counts = summary.of(stage), summary.counts(stage)
    full = [t.steps for t in trials if t.state is TrialState.COMPLETE and not t.diverged]
    if summary.study.pruner(stage) == "none" or not (counts.pruned and full):
        return ""
    spent = sum(t.steps for t in trials)
    without = sum(max(full) if t.state is TrialState.PRUNED else t.steps for t in trials)
    return f"Pruned {counts.pruned} of {counts.counted} trials: {spent:,} of {without:,} steps."


def _gain(summary: Summary, stage: Stage) -> None:
    if stage.parent is None or summary.settled is not None:
        return  # what was confirmed belongs to no search any more
    parent = next(s for s in summary.stages if s.number == stage.parent)
    new, old = (
        next((each for each in summary.ranking if each.trial.stage == s.number), None)
        for s in (stage, parent)
    )
    if new is None or old is None:
        return
    gain = new.mean - old.mean
    if summary.study.definition.direction == "minimize":
        gain = -gain
    noise = ""
    if new.sd is not None and old.sd is not None:
        noise = _noise(math.hypot(new.sd, old.sd))
    err.print(f"Gain over stage {parent.number}: {words.score(gain, '+')}{noise}.")


def _stage_of_interest(summary: Summary) -> Stage:
    """Return the first open stage, which a run has just worked on, else the last."""
    return next((stage for stage in summary.stages if stage.open), summary.last)


def _warn(sentence: str, console: Console = err) -> None:
    console.print(Text.assemble(("!", "yellow"), f" {sentence}"))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value
