"""The study that is checked, with what several checks ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpo import narrowing, next_stage
from hpo.errors import NotEnoughTrials
from hpo.narrowing import Decision
from hpo.narrowing.evidence import Evidence
from hpo.narrowing.influence import foretold
from hpo.noise import result_noise
from hpo.origin import options
from hpo.study import Stage, Study
from hpo.summary import Summary
from hpo.trial import Trial, by_setting

Curve = Sequence[Mapping[str, float]]
"""The metrics of each step of a trial."""


_MOST_BY_LUCK = 0.4
"""See `_by_luck`: with more, 30 trials of 5 parameters would be called noise too often."""


@dataclass(frozen=True)
class Case:
    """A study that is checked.

    Args:
        summary: The study as it stands.
        curves: The learning curves of the best trials of its last search, by trial number.
    """

    summary: Summary
    curves: Mapping[int, Curve]

    @property
    def study(self) -> Study:
        """The study."""
        return self.summary.study

    @property
    def stage(self) -> Stage:
        """The last stage that searches."""
        return self.summary.searches[-1]

    @property
    def trials(self) -> Sequence[Trial]:
        """The trials of that stage."""
        return self.summary.of(self.stage)

    @cached_property
    def seen(self) -> Sequence[Trial]:
        """The trials that `narrow` would look at: also those of earlier stages."""
        return next_stage.evidence(self.summary, self.stage)

    @cached_property
    def evidence(self) -> Evidence:
        """The settings among them that lie in the ranges of the stage and have a score."""
        direction = self.study.definition.direction
        return Evidence.of(self.stage.space, self.seen, direction, self.stage.seeds)

    @cached_property
    def noise(self) -> float | None:
        """The standard deviation of one result, None if nothing tells it."""
        return result_noise(self.study, by_setting(self.seen, self.stage.seeds))

    @cached_property
    def foretold(self) -> float | None:
        """The share of the differences that other settings foretell, None if noise is known."""
        return foretold(self.evidence) if self.noise is None else None

    @property
    def blind(self) -> bool:
        """Whether the noise is not known, and all differences may be noise."""
        if self.foretold is None:
            return False
        return self.foretold <= _by_luck(len(self.evidence.usable), len(self.stage.space))

    @cached_property
    def decision(self) -> Decision | None:
        """What `narrow` would decide, None if it has too few trials."""
        try:
            return next_stage.decided(self.summary, self.stage, self.seen)
        except NotEnoughTrials:
            return None

    @cached_property
    def alike(self) -> str | None:
        """Why the decision treats all ranges alike, None if it does not."""
        reasons = {axis.reason for axis in self.decision.axes.values()} if self.decision else set()
        told = reasons & {narrowing.NOTHING_LEARNS, narrowing.BELOW_NOISE}
        return told.pop() if len(reasons) == 1 and told else None

    @property
    def confirm(self) -> str:
        """The command that confirms the best settings; every open stage comes to its end first."""
        return self._after(any(stage.open for stage in self.summary.stages), "confirm")

    def narrow(self, more: str = "") -> str:
        """Return the command that narrows the stage; an open one comes to its end first."""
        return self._after(self.stage.open, "narrow") + more

    def start(self, settings: Mapping[str, Any], more: str = "") -> str:
        """Return the command that starts the same as a new study; or how to, if nothing tells it.

        Args:
            settings: Settings that differ.
            more: Other options, with a space before each.
        """
        origin = self.study.definition.origin
        command = origin.command(settings, more) if origin is not None else None
        return command or f"Start the next study with{options(settings)}{more}"

    def _after(self, stage_open: bool, command: str) -> str:
        before = f"hpo resume {self.study.id}, then " if stage_open else ""
        return f"{before}hpo {command} {self.study.id}"


def _by_luck(settings: int, parameters: int) -> float:
    """Return the share of the differences that settings seem to foretell where all is noise.

    Simulated with 1 to 5 parameters and 30 to 100 trials, 200 studies of each kind: pure noise is
    above it in 2 % of studies at most, a bowl, ridge or plateau of benchmarks/landscapes.py with
    noise 0.04 or 0 is never below; with 5 parameters and 30 trials it is 6 % and 1.5 %.
    """
    return min(_MOST_BY_LUCK, (5 + 3 * parameters) / settings)
