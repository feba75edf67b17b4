"""Checks of what became of the trials: open, too few, failed, tried twice."""

from __future__ import annotations

import math
from collections import Counter

from hpo import narrowing
from hpo.health.case import Case
from hpo.health.verdict import Status, Verdict
from hpo.next_stage import can_grow, grown_budget
from hpo.setbacks import MOSTLY_FAILED, mostly_failed
from hpo.trial import TrialState, by_setting, key_of

_REASONS = {
    "error": "raised an exception",
    "lost": "lost their worker, each time they were begun",
    "timeout": "ran into the time limit",
    "memory": "ran into the memory limit",
    "diverged": "diverged before they had reported a score",
    "told": "were ended by a person in a dashboard",
}

_MANY_TWICE = 0.1
"""Chosen by us: a tenth of a budget is worth a change of the sampler."""


def open_stages(case: Case) -> Verdict:
    """Whether every stage is finished."""
    stages = [stage for stage in case.summary.stages if stage.open]
    if not stages:
        count = len(case.summary.stages)
        finished = "the stage is finished" if count == 1 else f"all {count} stages are finished"
        return Verdict("open", "pass", finished)
    told = []
    for stage in stages:
        states = [trial.state for trial in case.summary.of(stage)]
        running = states.count(TrialState.RUNNING)
        told.append(
            f"stage {stage.number} is open: {case.summary.counts(stage).open} of {stage.budget} "
            f"trials are not counted yet" + (f", {running} of them run now" if running else "")
        )
    return Verdict("open", "warn", "; ".join(told), f"hpo resume {case.study.id}")


def trials(case: Case) -> Verdict:
    """Whether the last search has enough settings with a score to narrow its ranges."""
    stage, study = case.stage, case.study
    usable, needed = len(case.evidence.usable), narrowing.needed(stage.space)
    what = "trials" if stage.seeds == 1 else f"settings of {stage.seeds} seeds"
    lost = sum(trial.diverged for trial in case.evidence.usable)
    message = f"{what} with a score: {usable - lost}, narrowing needs {needed}"
    if lost:  # which tell as much, where training breaks
        message += f", and {lost} that diverged count{'s' * (lost == 1)} too"
    if usable >= needed:
        return Verdict("trials", "pass", message)
    if case.decision is not None:
        return Verdict("trials", "pass", f"{message}; but failures show where a range ends")
    if stage.open:
        return Verdict("trials", "warn", message, f"hpo resume {study.id}")
    if not usable:
        return Verdict("trials", "fail", message, f"hpo show {study.id}")
    if not can_grow(stage, last=True):
        return Verdict("trials", "pass", f"{message}; but a grid is compared, not narrowed")
    if setback := mostly_failed(study, stage, case.trials, case.seen):
        return Verdict("trials", "fail", message, f"hpo {setback.command}")
    budget = grown_budget(stage, needed - usable)
    return Verdict("trials", "warn", message, f"hpo resume {study.id} --trials {budget}")


def failed(case: Case) -> Verdict | None:
    """Whether trials of the last search failed, were given up or stopped."""
    ended = [trial for trial in case.trials if trial.state.counted]
    if not ended:
        return None
    reasons = Counter(trial.reason for trial in ended if trial.state is TrialState.FAIL)
    if not reasons:
        return Verdict("failed", "pass", f"0 of {len(ended)} trials failed")
    told = ", ".join(
        f"{count} {_REASONS.get(reason or '', 'for a reason that is not stored')}"
        for reason, count in reasons.most_common()
    )
    status: Status = "fail" if reasons.total() >= MOSTLY_FAILED * len(ended) else "warn"
    message = f"{reasons.total()} of {len(ended)} trials failed: {told}"
    return Verdict("failed", status, message, f"hpo show {case.study.id} --debug")


def duplicates(case: Case) -> Verdict | None:
    """Whether settings were tried more than once by chance, in all stages that search."""
    tried: list[str] = []
    for stage in case.summary.searches:
        counted = [t for t in case.summary.of(stage) if t.state.counted and t.params]
        for setting in by_setting(counted, stage.seeds):
            tried.append(key_of(setting[0].params))
    if len(tried) < 2:
        return None
    again = len(tried) - len(set(tried))
    if again <= _MANY_TWICE * len(tried):
        return Verdict("duplicates", "pass", f"{again} of {len(tried)} settings were tried before")
    space = case.study.definition.space
    message = f"{again} of {len(tried)} settings were tried before"
    remedy = "Vary more parameters, or replicate on purpose: seeds in [search]"
    if all(axis.discrete for axis in space.axes.values()) and not space.conditional:
        different = math.prod(axis.count for axis in space.axes.values())
        message += f"; the space has {different:,}"
        if different <= len(tried):
            budget = different * case.study.definition.search.seeds
            remedy = case.start({}, f" --sampler grid --trials {budget}")
    return Verdict("duplicates", "warn", message, remedy)
