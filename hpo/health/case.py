"""The study that is checked, with what several checks ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from hpo import narrowing, next_stage
from hpo.errors import NotEnoughTrials
from hpo.narrowing import Decision
from hpo.narrowing.evidence import Evidence
from hpo.noise import result_noise
from hpo.study import Stage, Study
from hpo.summary import Summary
from hpo.trial import Trial, by_setting

Curve = Sequence[Mapping[str, float]]
"""The metrics of each step of a trial."""


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

    def _after(self, stage_open: bool, command: str) -> str:
        before = f"hpo resume {self.study.id}, then " if stage_open else ""
        return f"{before}hpo {command} {self.study.id}"
