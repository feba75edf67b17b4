"""What `start`, `narrow`, `resume` and `show` answer with."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpo.finalist import Finalist, compared, finalists
from hpo.finding import Finding
from hpo.narrowing.standing import Standing
from hpo.objective import is_share, share_error
from hpo.ranking import Ranking
from hpo.study import Counts, Ended, Stage, Study
from hpo.trial import Trial, TrialState, by_setting, key_of, merged, ranked
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
        mean: What the setting is expected to reach, by which it was chosen: the posterior mean
            given the trials of all stages, or the mean of its fresh seeds if it was confirmed.
        se: The standard error of `mean`; None for a confirmed setting with a single score. What the
            validation set adds, which all settings share, is `standard_error`.
        params: Its parameters.
    """

    stage: int
    trial: int
    value: float
    mean: float
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
        """The newest stage, or an older one that has grown since it was made."""

        def asked_for(place: int) -> tuple[int, int]:
            return max((trial.slot_id for trial in self.trials[place]), default=0), place

        if not self.trials[-1]:  # nothing of it has begun yet
            return self.stages[-1]
        return self.stages[max(range(len(self.stages)), key=asked_for)]

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

    def top_settings(self, stage: Stage | None = None, count: int = TOP) -> list[Trial]:
        """Return the settings with the best observed means, of one stage or of all that search.

        Each is one of its trials with the mean of its replicates as value. Settings of which less
        than half have completed count where there are no others, diverged ones never.
        """
        searches = [stage] if stage else self.searches
        for share in (0.5, 0.0):
            settings = [t for each in searches for t in self._settings(each, share)]
            found = ranked(settings, self.study.definition.direction)
            if sound := [setting for setting in found if not setting.diverged]:
                return sound[:count]
        return []

    def finalists(self, stage: Stage) -> list[Finalist]:
        """Return the settings of a stage of `confirm`, best first."""
        return finalists(stage, self.of(stage), self.study.definition.direction)

    def confirmed(self, stage: Stage) -> list[tuple[Finalist, Interval | None]]:
        """Return the finalists with their intervals, None for one without a score."""
        found = self.finalists(stage)
        data, metric = self.study.description, self.study.definition.metric
        scores = [score for f in found for score in f.scores if score is not None]
        shares = is_share(metric, scores, data and data["validation"])
        step = 1 / data["validation"] if data is not None and shares else 0.0
        return list(zip(found, compared(found, step, shares), strict=True))

    def observed(self, stage: Stage | None = None) -> float | None:
        """Return the best score of a setting in one stage, or in all; None without a result.

        Of `confirm` it is that of the finalists.
        """
        if stage is not None and not stage.searches:
            return next((f.mean for f in self.finalists(stage) if f.sound), None)
        return next((setting.value for setting in self.top_settings(stage, 1)), None)

    def best(self) -> Best | None:
        """Return the recommended setting, the first of `ranking`; None without a result."""
        if not self.ranking:
            return None
        first = self.ranking[0]
        value = first.trial.value
        assert value is not None
        return Best(
            first.trial.stage, first.trial.number, value, first.mean, first.sd, first.trial.params
        )

    @functools.cached_property
    def ranking(self) -> Sequence[Standing]:
        """The distinct settings of all stages, the recommended one first, diverged ones left out.

        They rank by their posterior mean given all trials, not by their luckiest one, see
        `hpo.narrowing.recommendation`; fewer than ten by the means of their own results. Settings
        of which less than half of the replicates have completed come after all others.

        A finished stage of `confirm` settles what came before it: its settings rank as `finalists`
        says, beside those of `newer` trials, and before all others, however lucky those were. One
        that has lost half of its replicates by divergence is left out.
        """
        searches = [(stage, self.of(stage)) for stage in self.searches]
        settled = self.settled
        finalists = self.confirmed(settled) if settled is not None else ()
        return Ranking(self.study, searches, settled, finalists, self.newer).standings()

    @property
    def maximum(self) -> Trial | None:
        """The trial of a search with the best score, however lucky; None without a result."""
        return next((t for t in self.top(count=1) if not t.diverged), None)

    @property
    def weighed(self) -> bool:
        """Whether the recommended setting was weighed against its neighbours."""
        return bool(self.ranking) and self.ranking[0].weighed

    def basis(self, best: Best) -> str:
        """Return in words what the mean of the recommended setting was taken of."""
        stage = next(stage for stage in self.stages if stage.number == best.stage)
        if stage.searches and self.weighed:
            return "expected from all trials"
        if stage.searches and stage.seeds == 1:
            return "the best score"
        # Seeds that `confirm` has lost by divergence are counted, not averaged.
        seeds = sum(
            t.state is TrialState.COMPLETE
            and (stage.searches or not t.diverged)
            and key_of(t.params) == key_of(best.params)
            for t in self.of(stage)
        )
        seeds = min(seeds, stage.seeds)  # a setting that is drawn again has the same ones
        of_all = f" of {stage.seeds}" if seeds < stage.seeds else ""
        return f"mean of {seeds}{of_all} {'' if stage.searches else 'fresh '}seeds"

    @property
    def ties(self) -> list[Trial]:
        """The settings that cannot be told apart from the recommended one, best first."""
        return [standing.trial for standing in self.ranking if standing.tied]

    @property
    def settled(self) -> Stage | None:
        """The last finished stage of `confirm`, if there is one."""
        confirms = [s for s in self.stages if not (s.searches or s.open or s.deleted)]
        return confirms[-1] if confirms else None

    @property
    def newer(self) -> Sequence[Trial]:
        """The trials of searches with a score that were asked for after `settled` was made.

        Told by the order of the slots, not by clocks: `confirm` waits until all others are counted.
        """
        if self.settled is None:
            return []
        confirmed_from = min(trial.slot_id for trial in self.of(self.settled))
        searched = (trial for stage in self.searches for trial in self.of(stage))
        return [
            t
            for t in searched
            if t.slot_id > confirmed_from and t.state is TrialState.COMPLETE and not t.diverged
        ]

    def _settings(self, stage: Stage, share: float) -> list[Trial]:
        """Return one trial per setting of which a share of the replicates has completed."""
        done = [t for t in self.of(stage) if t.state is TrialState.COMPLETE]
        groups = by_setting(done, stage.seeds)
        enough = [t for group in groups if len(group) >= share * stage.seeds for t in group]
        return merged(enough, stage.seeds)

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

        It holds the settings that cannot be told apart from it, and the best score of all. If the
        recommended setting was tested, the last use of the test set for it is in it.
        """
        best = self.best()
        if best is None:
            return None
        ties = [{"stage": t.stage, "trial": t.number} for t in self.ties]
        top = self.maximum
        maximum = top and {"stage": top.stage, "trial": top.number, "value": top.value}
        tested = [use for use in self.uses if use.same_setting(best.stage, best.trial)]
        test = {"test": self.use_json(tested[-1])} if tested else {}
        return {**best.to_json(), "ties": ties, "maximum": maximum, **test}

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
            "pruner": self.study.pruner(stage),
            "budget": stage.budget,
            "counts": asdict(counts),
            "space": stage.space.to_json(),
            "evidence": stage.evidence,
        }
        if not stage.searches:
            document["finalists"] = [f.to_json(said) for f, said in self.confirmed(stage)]
        return document


def standard_error(study: Study, value: float) -> float | None:
    """Return the standard error of a score that comes from the size of the validation set.

    None where the data are not described, or the score is not a share of examples.
    """
    examples = None if study.description is None else study.description["validation"]
    return share_error(study.definition.metric, value, examples)
