"""What `start`, `narrow`, `resume` and `show` answer with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hpo.finalist import Finalist, compared, finalists
from hpo.finding import Finding
from hpo.objective import share_error
from hpo.study import Counts, Ended, Stage, Study
from hpo.trial import Trial, TrialState, by_setting, merged, ranked
from hpo.use import Use

if TYPE_CHECKING:
    from hpo.confirmation import Interval

TOP = 5

SMALL_VALIDATION = 1000
"""Below this, an accuracy near 0.9 is known to no better than ± 0.01."""


@dataclass(frozen=True)
class Best:
    """The recommended setting.

    Args:
        stage: Number of its stage.
        trial: Number of its trial.
        value: The score of this one trial.
        mean: Mean score of the setting's replicates, by which it was chosen; None if the stage
            has one trial per setting, until there is a posterior mean.
        se: Of a confirmed setting the standard error of `mean`: that of the seeds. Else the
            standard error of `score` that comes from the size of the validation set, if known;
            replicates share that set, and their number does not make it smaller.
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

    @property
    def searches(self) -> list[Stage]:
        """The stages that are none of `confirm`."""
        return [stage for stage in self.stages if stage.searches]

    def counts(self, stage: Stage) -> Counts:
        """Return how the slots of a stage ended."""
        return Counts.of(list(self.of(stage)), stage.budget)

    def of(self, stage: Stage) -> Sequence[Trial]:
        """Return the trials of one stage."""
        return self.trials[self.stages.index(stage)]

    def top(self, stage: Stage | None = None, count: int = TOP) -> list[Trial]:
        """Return the trials with the best observed values, of one stage or of all that search.

        Each trial for itself, also where settings have replicates; diverged ones come last.
        """
        chosen = [t for each in ([stage] if stage else self.searches) for t in self.of(each)]
        return ranked(chosen, self.study.definition.direction)[:count]

    def finalists(self, stage: Stage) -> list[Finalist]:
        """Return the settings of a stage of `confirm`, best first."""
        return finalists(stage, self.of(stage), self.study.definition.direction)

    def confirmed(self, stage: Stage) -> list[tuple[Finalist, Interval | None]]:
        """Return the finalists with their intervals, None for one without a score."""
        found = self.finalists(stage)
        data = self.study.description
        scores = [score for f in found for score in f.scores if score is not None]
        shares = all(standard_error(self.study, score) is not None for score in scores)
        step = 1 / data["validation"] if data is not None and shares else 0.0
        return list(zip(found, compared(found, step), strict=True))

    def best(self, stage: Stage | None = None) -> Best | None:
        """Return the recommended setting, of one stage or of all; None without a result.

        It is the first of `ranking`: with one trial per setting the top trial, after `confirm` the
        confirmed setting with the best mean. A diverged trial is never recommended.
        """
        setting = next(self._ranked(stage), None)
        return None if setting is None else self._best(setting)

    def ranking(self) -> list[Trial]:
        """Return the distinct settings of all stages, best first; diverged ones are left out.

        With one trial per setting, a setting is its trial. With replicates it ranks by its mean
        (not by its luckiest replicate), and is the first of its trials that did not diverge, with
        the mean as value. Settings of which less than half of the replicates have completed come
        after all others.

        A finished stage of `confirm` settles what came before it: its settings rank as `finalists`
        says, beside those of later stages, and before all others, however lucky those were. One
        that has lost half of its replicates by divergence is left out.
        """
        return list(self._ranked())

    def _ranked(self, only: Stage | None = None) -> Iterator[Trial]:
        searches = [only] if only else self.searches
        direction = self.study.definition.direction
        seen: set[str] = set()
        if (settled := self._settled(only)) is not None:
            searches = [stage for stage in searches if stage.searches]
            found = self.finalists(settled)
            seen = {_key(f.params) for f in found if f.sound or f.diverged}
            later = [t for s in searches if s.number > settled.number for t in self._settings(s)]
            lost = [(f.lost, replace(f.scored[0], value=f.mean)) for f in found if f.sound]
            lost += [(0, setting) for setting in _distinct(ranked(later, direction), seen)]
            sign = -1.0 if direction == "maximize" else 1.0
            for _, setting in sorted(lost, key=lambda each: (each[0], sign * (each[1].value or 0))):
                yield setting
        for share in (0.5, 0.0):
            settings = [t for stage in searches for t in self._settings(stage, share)]
            yield from _distinct(ranked(settings, direction), seen)

    def _settled(self, only: Stage | None) -> Stage | None:
        """Return the given stage if it is one of `confirm`, else the last finished one, if any."""
        if only is not None:
            return None if only.searches else only
        confirms = [s for s in self.stages if not (s.searches or s.open or s.deleted)]
        return confirms[-1] if confirms else None

    def _settings(self, stage: Stage, share: float = 0.5) -> list[Trial]:
        """Return one trial per setting of which a share of the replicates has completed."""
        done = [t for t in self.of(stage) if t.state is TrialState.COMPLETE]
        groups = by_setting(done, stage.seeds)
        enough = [t for group in groups if len(group) >= share * stage.seeds for t in group]
        return merged(enough, stage.seeds)

    def _best(self, setting: Trial) -> Best:
        stage = next(s for s in self.stages if s.number == setting.stage)
        trial = next(t for t in self.of(stage) if t.number == setting.number)
        assert trial.value is not None
        if not stage.searches:
            of = next(f for f in self.finalists(stage) if trial in f.replicates)
            return Best(stage.number, trial.number, trial.value, of.mean, of.se, trial.params)
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
        document: dict[str, Any] = {
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
        if not stage.searches:
            document["finalists"] = [f.to_json(said) for f, said in self.confirmed(stage)]
        return document


def _distinct(settings: Iterable[Trial], seen: set[str]) -> Iterator[Trial]:
    """Yield those that did not diverge and were not seen yet, which then are seen."""
    for setting in settings:
        if not setting.diverged and (key := _key(setting.params)) not in seen:
            seen.add(key)
            yield setting


def _key(params: Mapping[str, Any]) -> str:
    """Return what is equal for equal settings; to Python, True and 1 would be."""
    return json.dumps(params, sort_keys=True)


def standard_error(study: Study, value: float) -> float | None:
    """Return the standard error of a score that comes from the size of the validation set.

    None where the data are not described, or the score is not a share of examples.
    """
    examples = None if study.description is None else study.description["validation"]
    return share_error(study.definition.metric, value, examples)
