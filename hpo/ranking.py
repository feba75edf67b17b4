"""Which settings of a study come first: the ranking that recommends, confirms and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpo.finalist import Finalist
from hpo.narrowing.standing import FEWEST, Standing, by_means, is_rival, settings_of
from hpo.noise import result_noise
from hpo.objective import is_share
from hpo.study import Stage, Study
from hpo.trial import Trial, TrialState, by_setting, key_of

if TYPE_CHECKING:
    from hpo.confirmation import Interval

Finalists = Sequence[tuple[Finalist, "Interval | None"]]


@dataclass(frozen=True)
class Ranking:
    """Puts the settings of a study in order.

    Args:
        study: The study.
        searches: The stages that search, with their trials.
        settled: The last finished stage of `confirm`, None if there is none.
        finalists: Its settings, best first.
        newer: The trials with a score that it cannot have known, see `Summary.newer`.
    """

    study: Study
    searches: Sequence[tuple[Stage, Sequence[Trial]]]
    settled: Stage | None = None
    finalists: Finalists = ()
    newer: Sequence[Trial] = ()

    def standings(self) -> list[Standing]:
        """Return the settings of all stages, best first; see `Summary.ranking`."""
        enough = [t for finalist, _ in self.finalists for t in finalist.replicates]
        scarce: list[Trial] = []
        for stage, trials in self.searches:
            done = [t for t in trials if t.state is TrialState.COMPLETE]
            for group in by_setting(done, stage.seeds):
                (enough if 2 * len(group) >= stage.seeds else scarce).extend(group)
        found = self._expected(enough)
        if self.settled is not None:
            found = self._settle(self.settled, found)
        known = {key_of(standing.trial.params) for standing in found}
        known |= {key_of(trial.params) for trial in enough if trial.diverged}
        rest = [s for s in self._expected(scarce) if key_of(s.trial.params) not in known]
        return [*found, *(replace(s, tied=False) for s in rest)] if found else rest

    def _expected(self, trials: Sequence[Trial]) -> list[Standing]:
        settings, direction = settings_of(trials), self.study.definition.direction
        noise = result_noise(self.study, [setting.trials for setting in settings])
        settings = [setting for setting in settings if not setting.diverged]
        if len(settings) < FEWEST:
            return by_means(settings, direction, noise)
        # NumPy and SciPy take their time to start.
        from hpo.narrowing.recommendation import standings

        spaces = [stage.space for stage, _ in reversed(self.searches)]
        found = standings(spaces, settings, direction, noise)
        values = [value for setting in settings for value in setting.values]
        data, metric = self.study.description, self.study.definition.metric
        if not is_share(metric, values, data and data["validation"]):
            return found
        return [replace(s, mean=min(max(s.mean, 0.0), 1.0)) for s in found]

    def _settle(self, settled: Stage, found: Sequence[Standing]) -> list[Standing]:
        """Return the ranking in which confirmed settings go by their fresh seeds alone.

        The score that a setting was chosen for is a lucky one, and does not count any more. What
        was tried later, also by an earlier stage that has grown since, goes by what is expected.
        """
        sign = 1.0 if self.study.definition.direction == "maximize" else -1.0
        gone = {key_of(f.params) for f, _ in self.finalists if f.sound or f.diverged}
        others = [s for s in found if key_of(s.trial.params) not in gone]
        newer = {key_of(trial.params) for trial in self.newer}
        earlier = [replace(s, tied=False) for s in others if key_of(s.trial.params) not in newer]
        later = [s for s in others if key_of(s.trial.params) in newer]
        confirmed = [_standing(f, said) for f, said in self.finalists if f.sound and said]
        # Seeds that a finalist lost count among the finalists; a later setting has only a mean.
        ahead = [s for s in later if not confirmed or sign * (s.mean - confirmed[0].mean) > 0]
        contenders = [*ahead, *confirmed, *later[len(ahead) :]]
        if not contenders:
            return earlier
        first, *rest = contenders
        expected = {key_of(s.trial.params): s.sd for s in found}

        def sd(standing: Standing) -> float:
            # Where its seeds tell nothing of their spread, its neighbours do.
            if standing.sd is not None:
                return standing.sd
            return expected.get(key_of(standing.trial.params)) or 0.0

        def with_tie(contender: Standing) -> Standing:
            # Among themselves the finalists are compared seed by seed, which tells more.
            if {first.trial.stage, contender.trial.stage} == {settled.number}:
                return contender
            spread = math.hypot(sd(first), sd(contender))
            return replace(contender, tied=is_rival(sign * (contender.mean - first.mean), spread))

        return [replace(first, tied=False), *map(with_tie, rest), *earlier]


def _standing(finalist: Finalist, said: Interval) -> Standing:
    assert finalist.mean is not None
    return Standing(finalist.scored[0], finalist.mean, said.se, said.tied)
