"""Who is told what happens while a stage runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hpo.study import Stage, Study
from hpo.trial import Trial


class Watcher(Protocol):
    """Is told what happens, to show it."""

    def stage_began(
        self, study: Study, stage: Stage, trials: Sequence[Trial], workers: int
    ) -> None:
        """The stage is about to run; `trials` are those it has already."""

    def trial_ended(self, trial: Trial) -> None:
        """A slot was counted."""

    def trial_lost(self, number: int, again: bool) -> None:
        """A worker died; whether its trial is run again."""

    def printed(self, number: int | None, line: str) -> None:
        """A worker printed a line, while it ran a trial or before."""

    def warned(self, sentence: str) -> None:
        """Something is probably not as the user means it."""

    def stopping(self) -> None:
        """Stopped by Ctrl-C; the running trials are finished first."""

    def stage_ended(self) -> None:
        """The supervisor stops working on the stage."""


class Silent:
    """The watcher of callers who only want the result."""

    def stage_began(
        self, study: Study, stage: Stage, trials: Sequence[Trial], workers: int
    ) -> None:
        """Show nothing."""

    def trial_ended(self, trial: Trial) -> None:
        """Show nothing."""

    def trial_lost(self, number: int, again: bool) -> None:
        """Show nothing."""

    def printed(self, number: int | None, line: str) -> None:
        """Show nothing."""

    def warned(self, sentence: str) -> None:
        """Show nothing."""

    def stopping(self) -> None:
        """Show nothing."""

    def stage_ended(self) -> None:
        """Show nothing."""
