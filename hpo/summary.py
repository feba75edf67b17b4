"""What `start`, `narrow`, `resume` and `show` answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hpo.finding import Finding
from hpo.objective import share_error
from hpo.study import Counts, Ended, Stage, Study
from hpo.trial import Trial, TrialState, by_setting, merged, ranked
from hpo.use import Use

TOP = 5


@dataclass(frozen=True)
class Best:
    """The recommended setting.

    Args:
        stage: Number of its stage.
        trial: Number of its trial.
        value: The score of this one trial.
        mean: Mean score of the setting's replicates, by which it was chosen; None if the stage
            has one trial per setting, until there is a posterior mean.
        se: Standard error of `score` that comes from the size of the validation set, if known.
            Replicates share that set: their number does not make it smaller.
        params: Its parameters.
    """

    stage: int
    trial: int
    value: float
    mean: float | None
    se: float | None
    params: Mapping[str, Any]

    @property
    def score(self) -> float:
        """What the setting is said to reach: the mean if there is one."""
        return self.value if self.mean is None else self.mean

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
        findings: What the definition's `finding` found when the last stage ended.
        uses: The uses of the test set, in their order.
    """

    study: Study
    stages: Sequence[Stage]
    trials: Sequence[Sequence[Trial]]
    ended: Ended | None = None
    stopped: str | None = None
    findings: Sequence[Finding] = ()
    uses: Sequence[Use] = ()

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
        """Return the trials with the best observed values, of one stage or of all.

        Each trial for itself, also where settings have replicates; diverged ones come last.
        """
        chosen = list(self.of(stage)) if stage else [t for each in self.trials for t in each]
        return ranked(chosen, self.study.definition.direction)[:count]

    def best(self, stage: Stage | None = None) -> Best | None:
        """Return the recommended setting, of one stage or of all; None without a result.

        With one trial per setting it is the top trial. With replicates it is the setting with the
        highest mean (lowest, if lower is better), not the one with the luckiest replicate; it
        goes by the first of its trials that did not diverge. Settings of which less than half of
        the replicates have completed are taken only if there is no other. A diverged trial is
        never recommended.
        """
        stages = [stage] if stage else self.stages
        for share in (0.5, 0.0):
            settings = [t for each in stages for t in self._settings(each, share)]
            for setting in ranked(settings, self.study.definition.direction):
                if not setting.diverged:
                    return self._best(setting)
        return None

    def _settings(self, stage: Stage, share: float) -> list[Trial]:
        """Return one trial per setting of which a share of the replicates has completed."""
        done = [t for t in self.of(stage) if t.state is TrialState.COMPLETE]
        groups = by_setting(done, stage.seeds)
        enough = [t for group in groups if len(group) >= share * stage.seeds for t in group]
        return merged(enough, stage.seeds)

    def _best(self, setting: Trial) -> Best:
        stage = next(s for s in self.stages if s.number == setting.stage)
        trial = next(t for t in self.of(stage) if t.number == setting.number)
        assert trial.value is not None
        mean = setting.value if stage.seeds > 1 else None
        best = Best(stage.number, trial.number, trial.value, mean, None, trial.params)
        return replace(best, se=standard_error(self.study, best.score))

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
        if self.study.definition.finding is not None:
            document["findings"] = [asdict(finding) for finding in self.findings]
        if self.uses:
            document["test_uses"] = [self.use_json(use) for use in self.uses]
        if self.stopped is not None:
            document["stopped"] = self.stopped
        return document

    def best_json(self) -> dict[str, Any] | None:
        """Return the document that `hpo best --json` prints.

        If the recommended setting was tested, the last use of the test set for it is in it.
        """
        best = self.best()
        if best is None:
            return None
        tested = [use for use in self.uses if use.same_setting(best.stage, best.trial)]
        test = {"test": self.use_json(tested[-1])} if tested else {}
        return {**best.to_json(), **test}

    def use_json(self, use: Use) -> dict[str, Any]:
        """Return a use of the test set in the shape of the `final` command."""
        return use.to_json(self.study.description, self.study.definition.metric)

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
    """Return the standard error of a score that comes from the size of the validation set.

    None where the data are not described, or the score is not a share of examples.
    """
    examples = None if study.description is None else study.description["validation"]
    return share_error(study.definition.metric, value, examples)
