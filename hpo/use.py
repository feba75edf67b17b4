"""One use of the test set: what was tested, with which seeds, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, stdev
from typing import Any

from hpo.objective import Description, chance_by_name, share_error


@dataclass(frozen=True)
class Result:
    """What testing with one seed gave.

    Args:
        seconds: How long training and evaluation took.
        metrics: What the definition's `test` returned; None if it diverged.
        diverged: What was not finite; None if all was.
    """

    seconds: float
    metrics: Mapping[str, float] | None = None
    diverged: str | None = None


@dataclass(frozen=True)
class Score:
    """A metric of the test set over all seeds.

    Args:
        name: Name of the metric.
        values: Its value for each seed. A diverged one has the chance level, as in the search;
            None where the metric has none that is known, or `test` did not return it.
        mean: Their mean; None if one of them is not known.
        sd: Their standard deviation; None likewise, and for one seed.
        se: Standard error of the mean that comes from the size of the test set; None if the
            size is not known, or the metric is no share of examples. All seeds share that set:
            their number does not make it smaller.
    """

    name: str
    values: Sequence[float | None]
    mean: float | None
    sd: float | None
    se: float | None


@dataclass(frozen=True)
class Use:
    """A use of the test set, which counts from its beginning, whether it was finished or not.

    Args:
        number: 1 for the first use of the study, and so on.
        stage: Number of the stage that the tested setting is from.
        trial: Number of its trial.
        params: Its parameters.
        value: What the search said that it reaches; the validation score.
        seeds: Seeds of the retraining.
        results: What came of each; None where it was not recorded yet.
        begun_at: When it was recorded, before any of the test set was seen.
        finished_at: When the last result was recorded; None while one is missing.
    """

    number: int
    stage: int
    trial: int
    params: Mapping[str, Any]
    value: float
    seeds: Sequence[int]
    results: Sequence[Result | None]
    begun_at: datetime
    finished_at: datetime | None = None

    @property
    def done(self) -> int:
        """Number of seeds whose result is recorded."""
        return sum(result is not None for result in self.results)

    @property
    def diverged(self) -> int:
        """Number of seeds with which the retraining diverged."""
        return sum(result is not None and result.metrics is None for result in self.results)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what `test` returned; none if it diverged with all seeds."""
        return tuple(
            dict.fromkeys(name for r in self.results if r and r.metrics for name in r.metrics)
        )

    def same_setting(self, stage: int, trial: int) -> bool:
        """Return whether it tested, or tests, the setting of this trial."""
        return (self.stage, self.trial) == (stage, trial)

    def scores(self, description: Description | None, metric: str) -> list[Score]:
        """Return each metric over all seeds; nothing before the use is finished.

        Half of the seeds would be a look at the test set that decides whether the others follow.

        Args:
            description: What `describe` said about the data.
            metric: The study's metric; names what is missing if all seeds have diverged.
        """
        if self.finished_at is None:
            return []
        names = self.metrics or (metric.removeprefix("val_"),)
        return [self._score(name, description) for name in names]

    def _score(self, name: str, description: Description | None) -> Score:
        chance = None if description is None else chance_by_name(description, name)
        values = [
            chance if result is None or result.metrics is None else result.metrics.get(name)
            for result in self.results
        ]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return Score(name, values, None, None, None)
        mean = fmean(known)
        size = None if description is None else description["test"]
        sd = stdev(known) if len(known) > 1 else None
        return Score(name, values, mean, sd, share_error(name, mean, size))

    def to_json(self, description: Description | None, metric: str) -> dict[str, Any]:
        """Return the document that `hpo final --json` prints.

        What `test` returned beside or instead of an accuracy stands under `metrics`.
        """
        scores = {score.name: score for score in self.scores(description, metric)}
        accuracy = scores.get("accuracy")
        document: dict[str, Any] = {
            "test_accuracy": accuracy.mean if accuracy else None,
            "test_accuracies": list(accuracy.values) if accuracy else None,
            "uses": self.number,
            "stage": self.stage,
            "trial": self.trial,
            "params": dict(self.params),
            "diverged": self.diverged,
        }
        if scores.keys() - {"accuracy"}:
            document["metrics"] = {
                name: {"mean": score.mean, "values": list(score.values)}
                for name, score in scores.items()
            }
        return document
