"""The live progress of a stage or a test: what is done, best so far, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from hpo.cli import final_screen, hints, words
from hpo.cli.console import err
from hpo.study import Stage, Study
from hpo.trial import Trial, TrialState, ranked
from hpo.use import Use
from hpo.watcher import Watcher

REFRESH_HZ = 4
"""Not faster: with as many workers as cores, the screen's time comes out of the training's."""


class Terminal(Watcher):
    """A watcher that draws on stderr; without a terminal it only prints what is worth a line.

    Args:
        storage: URL of the database, for the header.
    """

    def __init__(self, storage: str | None) -> None:
        self._storage = storage
        self._live: Live | None = None
        self._tested: tuple[Study, Use] | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stage_ended()
        if kind is KeyboardInterrupt and self._tested is not None:
            final_screen.interrupted(*self._tested, self._storage)

    def stage_began(
        self, study: Study, stage: Stage, trials: Sequence[Trial], workers: int
    ) -> None:
        """Print the header and show the bar."""
        from hpo.cli import screens  # and with it the database, for which no worker has to wait

        self._study, self._stage = study, stage
        self._best: Trial | None = None
        self._seen: Counter[str] = Counter()
        for trial in trials:
            self._count(trial)
        screens.header(study, stage, workers, self._storage)
        self._show_bar(stage.budget, self._seen["counted"], self._standing())

    def test_began(self, study: Study, use: Use, workers: int) -> None:
        """Print what is tested and show the bar."""
        self._tested = study, use
        final_screen.header(study, use, workers)
        self._show_bar(len(use.seeds), use.done, Text())

    def seed_tested(self, use: Use) -> None:
        """Move the bar; what came of it is shown when all have ended."""
        assert self._tested is not None
        self._tested = self._tested[0], use
        self._bar.update(self._task, completed=use.done)

    def trial_ended(self, trial: Trial) -> None:
        """Move the bar."""
        self._count(trial)
        self._bar.update(self._task, completed=self._seen["counted"])
        if self._live is not None:
            self._live.update(Group(self._bar, self._standing()))
        told = ("error", "timeout", "memory")  # of a lost worker `trial_lost` has told
        if trial.reason in told and self._seen[trial.reason] == 1:
            err.print(f"  trial {trial.number} failed: {words.failure(trial)}")

    def counted(self, number: int) -> None:
        """Let the bar show what others did, too."""
        self._seen["counted"] = number
        self._bar.update(self._task, completed=number)

    def trial_lost(self, number: int, how: str, again: bool) -> None:
        """Say that a worker died."""
        then = "it runs again" if again else "it is given up"
        err.print(f"  the worker of trial {number} died ({how}); {then}")

    def printed(self, number: int | None, lines: Sequence[str]) -> None:
        """Pass on what the objective prints; there may be very much of it."""
        prefix = "  " if number is None else f"  trial {number} │ "
        text = "\n".join(f"{prefix}{words.printed(line)}" for line in lines)
        if self._live is None:
            err.file.write(f"{text}\n")  # to lay lines out takes ten times as long
            err.file.flush()
        else:
            err.print(text)

    def warned(self, sentence: str) -> None:
        """Say what is probably not as the user means it."""
        err.print(f"  ! {hints.completed(sentence, self._storage)}")

    def waiting(self) -> None:
        """Say why nothing moves."""
        err.print("  The remaining trials are run by another hpo; waiting for it.")

    def stopping(self) -> None:
        """Say what Ctrl-C does."""
        err.print("\n  Finishing the running trials. Ctrl-C again stops at once.")

    def stage_ended(self) -> None:
        """Leave the bar as it stands."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            err.print()

    def _show_bar(self, total: int, completed: int, below: Text) -> None:
        self._bar = Progress(
            TextColumn(" "),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            BarColumn(30),
            TextColumn("{task.percentage:>3.0f}%"),
            _Clock("elapsed"),
            _Clock("left"),
            console=err,
        )
        self._task = self._bar.add_task("", total=total, completed=completed)
        if err.is_terminal:
            self._live = Live(
                Group(self._bar, below),
                console=err,
                refresh_per_second=REFRESH_HZ,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _count(self, trial: Trial) -> None:
        """Keep what the screen needs; looking through all trials each time would add up."""
        self._seen["counted"] += trial.state.counted
        self._seen["diverged"] += words.diverged([trial])
        self._seen["failed"] += trial.state is TrialState.FAIL
        self._seen["pruned"] += trial.state is TrialState.PRUNED
        if trial.reason is not None:
            self._seen[trial.reason] += 1
        known = [trial] if self._best is None else [self._best, trial]
        self._best = next(iter(ranked(known, self._study.definition.direction)), self._best)

    def _standing(self) -> Text:
        best, seen = self._best, self._seen
        more = [f"   {kind} {seen[kind]}" for kind in ("pruned", "failed") if seen[kind]]
        counts = f"diverged {seen['diverged']}" + "".join(more)
        if best is None or best.value is None or best.diverged:
            return Text(f"  {counts}")
        told = f"best {words.score(best.value)} (trial {best.number})"
        settings = words.settings(best.params, "  ")
        return Text(f"  {told}   {counts}   {settings}", no_wrap=True, overflow="ellipsis")


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
