"""A study and its stages, as stored."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hpo.definition import Definition
from hpo.objective import Description
from hpo.search import PrunerName
from hpo.space import Space
from hpo.trial import Trial, TrialState


@dataclass(frozen=True)
class Study:
    """A definition that was started in a database.

    Args:
        id: Its number in the database.
        uuid: Its identity, also after the database was copied.
        name: Its unique name.
        definition: What it is about.
        description: What `describe` said about the data, or None.
        environment: Versions, platform, folder and origin at its start.
        created_at: When it was started.
    """

    id: int
    uuid: str
    name: str
    definition: Definition
    description: Description | None
    environment: Mapping[str, Any]
    created_at: datetime

    def pruner(self, stage: Stage) -> PrunerName:
        """Return how the trials of a stage are given up; none of `confirm` ever is."""
        return self.definition.search.pruner if stage.searches else "none"


@dataclass(frozen=True)
class Stage:
    """One search inside a study: one space, one sampler, one budget.

    Args:
        id: Its number in the database.
        uuid: Its identity; its Optuna study carries it as the user attribute `hpo_stage`.
        number: Its number in the study, from 1.
        parent: Number of the stage that it was narrowed from, None for the first; of a `confirm`
            the last stage that had searched.
        optuna_study: Name of its Optuna study when it was made.
        kind: "start", "narrow", "widen", "manual" or "confirm".
        space: Its parameters and their ranges.
        evidence: What `narrow` saw and decided, or what `confirm` chose; None for the first.
        sampler: How its settings are drawn.
        budget: Number of its slots.
        seeds: Replicates of each setting.
        created_at: When it was made.
        finished_at: When its last slot was counted, None while it is open.
        deleted: Whether its Optuna study was deleted, and with it parameters and scores.
    """

    id: int
    uuid: str
    number: int
    parent: int | None
    optuna_study: str
    kind: str
    space: Space
    evidence: Mapping[str, Any] | None
    sampler: str
    budget: int
    seeds: int
    created_at: datetime
    finished_at: datetime | None
    deleted: bool = False

    @property
    def open(self) -> bool:
        """Whether some of its slots are not counted yet."""
        return self.finished_at is None

    @property
    def searches(self) -> bool:
        """Whether it draws its settings; one of `confirm` repeats what others have found."""
        return self.kind != "confirm"

    @property
    def given(self) -> Sequence[Mapping[str, Any]]:
        """The settings of a stage that does not search, in the order of its slots."""
        if self.searches or self.evidence is None:
            return ()
        return [setting["params"] for setting in self.evidence["settings"]]


@dataclass(frozen=True)
class Counts:
    """How the slots of a stage ended; `open` ones wait or run."""

    complete: int
    pruned: int
    failed: int
    open: int

    @property
    def counted(self) -> int:
        """Number of slots that are used up."""
        return self.complete + self.pruned + self.failed

    @staticmethod
    def of(trials: list[Trial], budget: int) -> Counts:
        """Count the trials of one stage."""
        states = [trial.state for trial in trials]
        complete = states.count(TrialState.COMPLETE)
        pruned = states.count(TrialState.PRUNED)
        failed = states.count(TrialState.FAIL)
        return Counts(complete, pruned, failed, budget - complete - pruned - failed)


class Ended(enum.Enum):
    """Why a supervisor stopped working on a stage."""

    FINISHED = "finished"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
