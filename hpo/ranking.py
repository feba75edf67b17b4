"""Which settings of a study come first: the ranking that recommends, confirms and tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo.finalist import Finalist
from hpo.narrowing.recommendation import Standing, is_rival, settings_of, standings
from hpo.noise import result_noise
from hpo.study import Stage
from hpo.trial import Trial, TrialState, by_setting, key_of

if TYPE_CHECKING:
    from hpo.summary import Summary


def rank(summary: Summary) -> list[Standing]:
    """Return the settings of all stages, best first; see `Summary.ranking`."""
    enough: list[Trial] = []
    scarce: list[Trial] = []
    for stage in summary.searches:
        done = [t for t in summary.of(stage) if t.state is TrialState.COMPLETE]
        for group in by_setting(done, stage.seeds):
            (enough if 2 * len(group) >= stage.seeds else scarce).extend(group)
    settled = summary.settled
    if settled is not None:
        enough += summary.of(settled)
    found = _standings(summary, enough)
    if settled is not None:
        found = _settle(summary, settled, found)
    known = {key_of(standing.trial.params) for standing in found}
    known |= {key_of(trial.params) for trial in enough if trial.diverged}
    rest = [s for s in _standings(summary, scarce) if key_of(s.trial.params) not in known]
    return [*found, *(replace(s, tied=False) for s in rest)] if found else rest


def _standings(summary: Summary, trials: Sequence[Trial]) -> list[Standing]:
    spaces = [stage.space for stage in reversed(summary.searches)]
    noise = result_noise(summary.study, [setting.trials for setting in settings_of(trials)])
    return standings(spaces, trials, summary.study.definition.direction, noise)


def _settle(summary: Summary, settled: Stage, found: Sequence[Standing]) -> list[Standing]:
    """Return the ranking in which confirmed settings go by their fresh seeds alone.

    The score that a setting was chosen for is a lucky one, and does not count any more.
    """
    sign = 1.0 if summary.study.definition.direction == "maximize" else -1.0
    confirmed = summary.confirmed(settled)
    gone = {key_of(f.params) for f, _ in confirmed if f.sound or f.diverged}
    others = [s for s in found if key_of(s.trial.params) not in gone]
    earlier = [replace(s, tied=False) for s in others if s.trial.stage < settled.number]
    later = [(0, s) for s in others if s.trial.stage > settled.number]
    finalists = [
        (f.lost, _standing(f, interval is not None and interval.tied))
        for f, interval in confirmed
        if f.sound
    ]
    contenders = [
        s for _, s in sorted([*finalists, *later], key=lambda each: (each[0], -sign * each[1].mean))
    ]
    if not contenders:
        return earlier
    first, *rest = contenders
    # Among themselves the finalists are compared seed by seed, which tells more.

    def with_tie(contender: Standing) -> Standing:
        # Among themselves the finalists are compared seed by seed, which tells more.
        if {first.trial.stage, contender.trial.stage} == {settled.number}:
            return contender
        spread = math.hypot(first.sd or 0.0, contender.sd or 0.0)
        return replace(contender, tied=is_rival(sign * (contender.mean - first.mean), spread))

    return [replace(first, tied=False), *map(with_tie, rest), *earlier]


def _standing(finalist: Finalist, tied: bool) -> Standing:
    assert finalist.mean is not None
    return Standing(finalist.scored[0], finalist.mean, finalist.se, tied)
