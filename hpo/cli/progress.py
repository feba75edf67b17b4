"""The live progress of a stage: trials done, best so far, time left."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from hpo.cli import hints, screens, words
from hpo.cli.console import err
from hpo.study import Stage, Study
from hpo.trial import Trial, TrialState, ranked

REFRESH_HZ = 4
"""Not faster: with as many workers as cores, the screen's time comes out of the training's."""


class Terminal:
    """A watcher that draws on stderr; without a terminal it only prints what is worth a line.

    Args:
        storage: URL of the database, for the header.
    """

    def __init__(self, storage: str | None) -> None:
        self._storage = storage
        self._live: Live | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stage_ended()

    def stage_began(
        self, study: Study, stage: Stage, trials: Sequence[Trial], workers: int
    ) -> None:
        """Print the header and show the bar."""
        self._study, self._stage = study, stage
        self._ended = [trial for trial in trials if trial.state.counted]
        screens.header(study, stage, workers, self._storage)
        self._bar = Progress(
            TextColumn(" "),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(30),
            TextColumn("{task.percentage:>3.0f}%"),
            _Clock("elapsed"),
            _Clock("left"),
            console=err,
        )
        self._task = self._bar.add_task("", total=stage.budget, completed=len(self._ended))
        if err.is_terminal:
            self._live = Live(
                Group(self._bar, self._standing()),
                console=err,
                refresh_per_second=REFRESH_HZ,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def trial_ended(self, trial: Trial) -> None:
        """Move the bar."""
        self._ended.append(trial)
        self._bar.update(self._task, completed=len(self._ended))
        if self._live is not None:
            self._live.update(Group(self._bar, self._standing()))
        if trial.reason == "error" and trial.error and self._first_of("error"):
            err.print(f"  trial {trial.number} failed: {words.last_line(trial.error)}")

    def trial_lost(self, number: int, again: bool) -> None:
        """Say that a worker died."""
        then = "it runs again" if again else "it is given up"
        err.print(f"  the worker of trial {number} died; {then}")

    def printed(self, number: int | None, line: str) -> None:
        """Pass on what the objective prints."""
        prefix = "" if number is None else f"trial {number} │ "
        err.print(f"  {prefix}{words.printed(line)}")

    def warned(self, sentence: str) -> None:
        """Say what is probably not as the user means it."""
        err.print(f"  ! {hints.completed(sentence, self._storage)}")

    def stopping(self) -> None:
        """Say what Ctrl-C does."""
        err.print("\n  Finishing the running trials. Ctrl-C again stops at once.")

    def stage_ended(self) -> None:
        """Leave the bar as it stands."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            err.print()

    def _first_of(self, reason: str) -> bool:
        return sum(trial.reason == reason for trial in self._ended) == 1

    def _standing(self) -> Text:
        top = ranked(self._ended, self._study.definition.direction)
        diverged = sum(trial.diverged for trial in self._ended)
        failed = sum(trial.state is TrialState.FAIL for trial in self._ended)
        counts = f"diverged {diverged}" + (f"   failed {failed}" if failed else "")
        if not top or top[0].value is None or top[0].diverged:
            return Text(f"  {counts}")
        best = f"best {words.score(top[0].value)} (trial {top[0].number})"
        settings = words.settings(top[0].params, "  ")
        return Text(f"  {best}   {counts}   {settings}", no_wrap=True, overflow="ellipsis")


class _Clock(ProgressColumn):
    """Elapsed or remaining time as h:mm:ss."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def render(self, task: Task) -> Text:
        """Return the time as text."""
        seconds = task.elapsed if self._kind == "elapsed" else task.time_remaining
        label = "" if self._kind == "elapsed" else "left "
        if seconds is None:
            return Text(f"{label}-:--:--")
        minutes, rest = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{label}{hours}:{minutes:02}:{rest:02}")
