"""Who is told what happens while a stage runs."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.study import Stage, Study
from hpo.trial import Trial
from hpo.use import Use


class Watcher:
    """Is told what happens, and shows nothing: for callers who only want the result.

    A watcher that shows something overrides what it shows.
    """

    def stage_began(
        self, study: Study, stage: Stage, trials: Sequence[Trial], workers: int
    ) -> None:
        """The stage is about to run; `trials` are those it has already."""

    def trial_ended(self, trial: Trial) -> None:
        """A slot was counted."""

    def counted(self, number: int) -> None:
        """So many slots of the stage are counted by now, whoever ran them."""

    def trial_lost(self, number: int, how: str, again: bool) -> None:
        """A worker died, by a signal or with an exit code; whether its trial is run again."""

    def printed(self, number: int | None, lines: Sequence[str]) -> None:
        """A worker printed lines, while it ran a trial or before."""

    def warned(self, sentence: str) -> None:
        """Something is probably not as the user means it."""

    def waiting(self) -> None:
        """Another supervisor runs all that is left of the stage."""

    def stopping(self) -> None:
        """Stopped by Ctrl-C; the running trials are finished first."""

    def stage_ended(self) -> None:
        """The supervisor stops working on the stage."""

    def test_began(self, study: Study, use: Use, workers: int) -> None:
        """The use of the test set is recorded; its seeds are about to run."""

    def seed_tested(self, use: Use) -> None:
        """What came of one more seed is recorded."""
