"""What makes sense next: the one judge whom all screens ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo import narrowing, next_stage, sampling, setbacks
from hpo.errors import NotEnoughTrials
from hpo.narrowing.lean import Lean, leans
from hpo.study import Stage
from hpo.summary import Summary


@dataclass(frozen=True)
class Advice:
    """What to do after a finished stage.

    Args:
        command: The `hpo` command that makes sense, without `hpo`.
        leans: The ranges whose optimum is probably outside; that of `command` moves them.
    """

    command: str
    leans: Sequence[Lean] = ()

    @property
    def leads_on(self) -> bool:
        """Whether the command runs trials, or says what is wrong."""
        return self.command.split()[0] not in ("best", "plot")

    @property
    def settles(self) -> bool:
        """Whether the search has come to its end: what is left is to confirm, and to test."""
        return self.command.split()[0] in ("confirm", "best", "plot")


def advise(summary: Summary, stage: Stage) -> Advice:
    """Return what makes sense after a finished stage.

    `narrow` would decide as it does here: nothing is warned of that it would not act on.
    """
    study = summary.study
    if not stage.searches:
        search = advise(summary, summary.searches[-1]) if summary.searches else None
        # What was confirmed is the best of what was searched, wherever the optimum is.
        unfinished = search is not None and (search.leans or search.command.startswith("resume"))
        return search if search is not None and unfinished else Advice(f"best {study.id}")
    if next_stage.compares(stage):
        return Advice(f"plot {study.id}")
    own, seen = summary.of(stage), next_stage.evidence(summary, stage)
    if setback := setbacks.nothing_scored(study, stage, own, seen):
        return Advice(setback.command)
    try:
        decision = next_stage.decided(summary, stage, seen)
    except NotEnoughTrials as error:
        if setback := setbacks.mostly_failed(study, stage, own, seen):
            return Advice(setback.command)
        if next_stage.can_grow(stage, last=stage == summary.searches[-1]):
            budget = next_stage.grown_budget(stage, error.needed - error.given)
            return Advice(f"resume {study.id} --trials {budget}")
        return Advice(f"best {study.id}")
    outside = [
        lean for lean in leans(decision, study.definition.limits or {}) if not lean.outermost
    ]
    if outside:
        ranges = "".join(f" {lean.by_hand}" for lean in outside if lean.blocked)
        return Advice(f"narrow {study.id}{ranges}", outside)
    if decision.stop is not None:
        hopeless = decision.stop == narrowing.NOTHING_LEARNS
        return Advice(f"{'check' if hopeless else 'confirm'} {study.id}")
    enough = decision.trials >= narrowing.needed(stage.space)  # and not failures alone
    if stage.sampler not in sampling.UNIFORM and enough and not decision.grows:
        # It has followed the best trials: what is left is to make sure of them.
        return Advice(f"confirm {study.id}")
    return Advice(f"narrow {study.id}")
