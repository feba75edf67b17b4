"""What `start`, `narrow`, `resume` and `show` answer with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hpo.objective import is_loss
from hpo.study import Counts, Stage, Study
from hpo.supervisor import Ended
from hpo.trial import Trial, ranked

TOP = 5


@dataclass(frozen=True)
class Best:
    """The recommended setting.

    Args:
        stage: Number of its stage.
        trial: Number of its trial.
        value: Its observed score.
        mean: Posterior mean of its score; None while the recommended setting is the top trial.
        se: Standard error of the score that comes from the size of the validation set, if known.
        params: Its parameters.
    """

    stage: int
    trial: int
    value: float
    mean: float | None
    se: float | None
    params: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it in the shape of the `best` command."""
        return {**asdict(self), "params": dict(self.params)}


@dataclass(frozen=True)
class Summary:
    """A study with its stages and the trials that matter.

    Args:
        study: The study.
        stages: Its stages by number.
        trials: The trials of each stage, in the same order.
        ended: Why the supervisor stopped; None if none was needed.
        stopped: Why `narrow` made no stage; None if it did, or was not asked.
    """

    study: Study
    stages: Sequence[Stage]
    trials: Sequence[Sequence[Trial]]
    ended: Ended | None = None
    stopped: str | None = None

    @property
    def last(self) -> Stage:
        """The newest stage."""
        return self.stages[-1]

    def counts(self, stage: Stage) -> Counts:
        """Return how the slots of a stage ended."""
        return Counts.of(list(self.of(stage)), stage.budget)

    def of(self, stage: Stage) -> Sequence[Trial]:
        """Return the trials of one stage."""
        return self.trials[self.stages.index(stage)]

    def top(self, stage: Stage | None = None, count: int = TOP) -> list[Trial]:
        """Return the trials with the best observed values, of one stage or of all."""
        chosen = list(self.of(stage)) if stage else [t for each in self.trials for t in each]
        return ranked(chosen, self.study.definition.direction)[:count]

    def best(self, stage: Stage | None = None) -> Best | None:
        """Return the recommended setting, of one stage or of all; None without a result."""
        top = self.top(stage, count=1)
        if not top:
            return None
        value = top[0].value
        assert value is not None
        se = standard_error(self.study, value)
        return Best(top[0].stage, top[0].number, value, None, se, top[0].params)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        best = self.best()
        document: dict[str, Any] = {
            "study": {"id": self.study.id, "name": self.study.name, "uuid": self.study.uuid},
            "stages": [self._stage_json(stage) for stage in self.stages],
            "best": best.to_json() if best else None,
            "top": [
                {"stage": t.stage, "trial": t.number, "value": t.value, "params": dict(t.params)}
                for t in self.top()
            ],
        }
        if self.stopped is not None:
            document["stopped"] = self.stopped
        return document

    def _stage_json(self, stage: Stage) -> dict[str, Any]:
        counts = self.counts(stage)
        return {
            "number": stage.number,
            "parent": stage.parent,
            "kind": stage.kind,
            "optuna_study": stage.optuna_study,
            "sampler": stage.sampler,
            "budget": stage.budget,
            "counts": asdict(counts),
            "space": stage.space.to_json(),
            "evidence": stage.evidence,
        }


def standard_error(study: Study, value: float) -> float | None:
    """Return the standard error of an accuracy p measured on n examples: sqrt(p(1 - p) / n).

    None where the data are not described, or the score is not a share of examples.
    """
    metric = study.definition.metric
    if study.description is None or is_loss(metric) or not 0 <= value <= 1:
        return None
    return math.sqrt(value * (1 - value) / study.description["validation"])
