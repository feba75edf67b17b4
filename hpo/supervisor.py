"""The visible loop: claim a slot, draw its parameters, let a worker run it, record the result.

One supervisor owns the database connection and the leases of its workers; the workers only
compute. Several supervisors may work on the same stage: the ledger shares the budget out.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hpo import pruning, sampling
from hpo.errors import DatabaseError, DatabaseLocked, HpoError, ObjectiveError, SlotTakenOver
from hpo.objective import floor_value
from hpo.pool import Message, Pool, Worker
from hpo.stop_signals import StopSignals
from hpo.store import lease, rungs
from hpo.store.attempt import Claim, Outcome, Step
from hpo.store.engine import BUSY_TIMEOUT_S, Engine, identity, reading
from hpo.store.ledger import Ledger
from hpo.store.trials import stage_trials
from hpo.study import Ended, Stage, Study
from hpo.trial import Trial, TrialState
from hpo.watcher import Watcher

RECORD_EVERY_S = 1.0
"""Reported steps wait this long at most before they are visible in the database."""

POLL_S = 0.2
"""How often signals, limits and other supervisors are looked at."""

HURRY_S = 2.0
"""Who stops waits so long for another program's lock, not longer."""

FOR_ALL_S = 1.0
"""A signal for the workers and for us, as a shutdown sends it, reaches us within this time."""


@dataclass
class _Running:
    """A claimed slot and what is known of the worker that computes it."""

    claim: Claim
    seed: int
    most: int | None  # reports of a full training, as they were known when it began
    steps: list[Step] = field(default_factory=list)
    reported: int = 0
    began: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs the open slots of one stage.

    Args:
        engine: The database, open for writing.
        study: The study.
        stage: The stage.
        ancestors: The stages that it was narrowed from, nearest first: evidence for a sampler.
        pool: The workers.
        watcher: Is told what happens.
    """

    def __init__(
        self,
        engine: Engine,
        study: Study,
        stage: Stage,
        ancestors: Sequence[Stage],
        pool: Pool,
        watcher: Watcher,
    ) -> None:
        self._engine = engine
        self._study = study
        self._stage = stage
        self._search = study.definition.search
        self._pruner = study.pruner(stage)
        self._lineage = (stage, *ancestors)
        self._pool = pool
        self._watcher = watcher
        self._ledger = Ledger(engine, stage, study.definition.metric, self._patience)
        self._running: dict[Worker, _Running] = {}
        self._signals = StopSignals()
        self._metric_missed = False
        self._stillborn = 0
        self._file = identity(engine)
        self._recorded = self._beaten = time.monotonic()
        self._stopping = self._waiting = self._leaving = False

    def run(self, deadline: float | None) -> Ended:
        """Run the stage until it is finished, the time is over, or a signal arrives.

        Args:
            deadline: When the time is over, on the monotonic clock: no trial is begun then, and
                the running ones are given back.
        """
        with reading(self._engine) as connection:
            known = stage_trials(connection, self._stage)
        self._watcher.stage_began(self._study, self._stage, known, len(self._pool.workers))
        with self._signals.listening():
            try:
                while (ended := self._stop_asked(deadline)) is None:
                    if not self._signals.came:
                        self._employ()
                    if not self._running and (ended := self._idle()):
                        break
                    for worker, event in self._pool.events(POLL_S):
                        if self._signals.hurried:
                            break  # the signal may have been for the workers, too
                        self._handle(worker, event)
                    if self._signals.hurried:
                        continue
                    self._enforce_limits()
                    if time.monotonic() - self._recorded > RECORD_EVERY_S:
                        self._beat()
                return ended
            except DatabaseLocked as error:
                if self._signals.hurried and (ended := self._stop_asked(deadline)):
                    return ended  # what could not be recorded in time runs again
                raise DatabaseLocked(
                    f"{self._engine.url.database} stayed locked for {BUSY_TIMEOUT_S:.0f} s by "
                    f"another program. Close it, then: hpo resume {self._study.id}"
                ) from error
            finally:
                self._leaving = True
                self._give_back()
                self._ledger.close()
                self._watcher.stage_ended()

    def _employ(self) -> None:
        """Give each idle worker the next open slot."""
        for worker in self._pool.workers:
            if self._signals.came:
                return
            if worker.ready and worker not in self._running:
                running = self._claim()
                if running is None:
                    return
                self._running[worker] = running
                fixed = self._study.definition.fixed or {}
                params = {**fixed, **running.claim.params}
                asked = pruning.rungs(self._pruner, running.most, running.claim.slot)
                worker.send({"do": "run", "params": params, "seed": running.seed, "ask_at": asked})

    def _claim(self) -> _Running | None:
        """Take the next open slot; None if there is none."""
        while opening := self._ledger.next_open():
            unit = opening.slot % self._stage.seeds if self._stage.seeds > 1 else opening.slot
            seed = sampling.run_seed(self._search.seed, self._stage.number, unit)
            params = self._draw(opening.slot) if opening.params is None else opening.params
            if claim := self._ledger.claim(opening.slot, params, seed):
                return _Running(claim, seed, self._most_reports())
        return None

    def _most_reports(self) -> int | None:
        """Return how many reports a full training makes, for a pruner; None if nobody knows."""
        if self._pruner == "none":
            return None
        with reading(self._engine) as connection:
            return rungs.most_reports(connection, self._stage)

    def _idle(self) -> Ended | None:
        """Nothing runs here: return why, or None if that may change."""
        self._check_file()
        finished = self._ledger.finished()
        self._watcher.counted(self._ledger.counted())
        if self._signals.came:
            return Ended.INTERRUPTED  # also of a finished stage: no other one shall follow
        if finished:
            return Ended.FINISHED
        if not self._waiting and all(worker.ready for worker in self._pool.workers):
            self._waiting = True
            self._watcher.waiting()
        return None

    def _draw(self, slot: int) -> Mapping[str, Any]:
        """Draw the parameters of a slot."""
        evidence: list[Trial] = []
        if sampling.needs_evidence(self._stage.sampler):
            with reading(self._engine) as connection:
                trials = [t for stage in self._lineage for t in stage_trials(connection, stage)]
            evidence = [t for t in trials if t.state is not TrialState.WAITING and t.params]
        request = sampling.Request(
            space=self._stage.space,
            seed=self._search.seed,
            stage=self._stage.number,
            setting=slot // self._stage.seeds,
            settings=self._stage.budget // self._stage.seeds,
            direction=self._study.definition.direction,
            replicates=self._stage.seeds,
            given=self._stage.given,
        )
        return sampling.suggest(self._stage.sampler, request, evidence)

    def _handle(self, worker: Worker, event: Message | list[str] | None) -> None:
        running = self._running.get(worker)
        match event:
            case list():
                self._watcher.printed(running.claim.slot if running else None, event)
            case None if self._stopped_with_us(worker):
                pass
            case None:
                self._replace(worker, running)
            case {"say": "ready"}:
                self._stillborn = 0
            case {"say": "steps"} if running:
                running.steps += [Step(*step) for step in event["steps"]]
                running.reported += len(event["steps"])
            case {"say": "asks"} if running:
                self._record()
                if worker in self._running:  # and nobody else's now
                    answer = self._goes_on(running, event["reports"])
                    worker.send({"do": "answer", "reports": event["reports"], "goes_on": answer})
            case {"say": "done"} if running:
                if event["state"] == "complete":
                    self._look_for_metric(event["metrics"])
                with suppress(SlotTakenOver):
                    self._finish(running, outcome_of(self._study, event))
                if event["state"] == "failed":
                    # What the objective left behind (closed files, a used-up memory limit, a
                    # broken CUDA context) must not fail the next trial too.
                    self._dismiss(worker)
                else:
                    del self._running[worker]
            case {"say": "broken"}:
                # The objective was edited while the study runs. Trying again would burn the
                # budget; the stage stays open instead.
                raise ObjectiveError(event["error"])

    def _goes_on(self, running: _Running, reports: int) -> bool:
        """Return whether a trial is worth continuing after so many reports."""
        assert running.most is not None  # else it would not ask
        direction = self._study.definition.direction
        with reading(self._engine) as connection:
            others = rungs.reached(connection, self._stage, reports, direction)
        slot = running.claim.slot
        return pruning.goes_on(self._pruner, running.most, slot, reports, others, direction)

    def _finish(self, running: _Running, outcome: Outcome) -> None:
        self._ledger.finish(running.claim, outcome, running.steps)
        self._tell(running, outcome)

    def _tell(self, running: _Running, outcome: Outcome) -> None:
        """Tell the watcher that a slot was counted."""
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        self._watcher.trial_ended(
            Trial(
                stage=self._stage.number,
                number=running.claim.slot,
                state=state.get(outcome.state, TrialState.FAIL),
                params=running.claim.params,
                value=outcome.value,
                attempt=running.claim.attempt,
                seed=running.seed,
                diverged_at=outcome.diverged_at,
                steps=running.reported,
                seconds=outcome.seconds,
                reason=outcome.reason,
                error=outcome.error,
            )
        )

    def _replace(self, worker: Worker, running: _Running | None) -> None:
        """Start a new worker; the slot of the dead one is run again."""
        self._stillborn = 0 if worker.ready else self._stillborn + 1
        if self._stillborn >= self._search.max_attempts:
            raise ObjectiveError(
                f"{self._stillborn} workers in a row died while they imported "
                f"{self._study.definition.objective}"
            )
        if running is not None:
            with suppress(SlotTakenOver):
                self._lose(running, worker.death, time.monotonic() - running.began)
            del self._running[worker]
        self._pool.replace(worker)

    def _stopped_with_us(self, worker: Worker) -> bool:
        """Whether a worker was ended by a signal that is meant for us, too."""
        if worker.process.returncode in (-signal.SIGTERM, -signal.SIGHUP):
            deadline = time.monotonic() + FOR_ALL_S
            while not self._signals.hurried and time.monotonic() < deadline:
                time.sleep(0.02)
        return self._signals.hurried

    def _lose(self, running: _Running, how: str, seconds: float) -> None:
        failure = Outcome("failed", None, seconds, reason="lost", error=f"the worker ended: {how}")
        again = self._ledger.lose(running.claim, self._search.max_attempts, failure)
        self._watcher.trial_lost(running.claim.slot, how, again)
        if not again:
            self._tell(running, failure)

    def _enforce_limits(self) -> None:
        """Stop the trials that take too long or too much memory: they count as failed."""
        time_limit, memory_limit = self._search.trial_timeout, self._search.trial_memory
        for worker, running in list(self._running.items()):
            if worker.speaks:
                continue  # its result may be in: it is not to blame that we were busy
            seconds = time.monotonic() - running.began
            if time_limit is not None and seconds > time_limit:
                reason = "timeout"
            elif memory_limit is not None and worker.memory() > memory_limit:
                reason = "memory"
            else:
                continue
            self._dismiss(worker)
            with suppress(SlotTakenOver):
                self._finish(running, Outcome("failed", None, seconds, reason=reason))

    def _beat(self) -> None:
        """Record what was reported, also nothing if the leases need it."""
        self._check_file()
        self._recorded = time.monotonic()
        self._watcher.counted(self._ledger.counted())
        silent = not any(running.steps for running in self._running.values())
        if not silent or self._recorded - self._beaten >= lease.LEASE_S / 4:
            self._record()

    def _record(self) -> None:
        """Record what was reported, extend the leases, and drop the trials that others took."""
        reports = [(running.claim, running.steps) for running in self._running.values()]
        taken = self._ledger.beat(reports)
        self._beaten = time.monotonic()
        for worker, running in list(self._running.items()):
            running.steps = []
            if running.claim in taken:
                self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        """Stop a worker in the middle of its trial and start another in its place."""
        del self._running[worker]
        worker.stop()
        self._pool.replace(worker)

    def _look_for_metric(self, reported: list[str]) -> None:
        """Warn once if a trial went through and reported metrics, but not the study's."""
        metric = self._study.definition.metric
        if reported and metric not in reported and not self._metric_missed:
            self._metric_missed = True
            self._watcher.warned(
                f"metric = {metric!r} is never reported; the objective reports "
                f"{', '.join(reported)}. Without it there are no learning curves of the score."
            )

    def _give_back(self) -> None:
        """Open the slots again that are still running."""
        # What cannot be given back (the disk is full, the file is gone or locked) must not hide
        # why we stop; it is free as soon as this process has ended.
        with suppress(HpoError):
            self._ledger.release([running.claim for running in self._running.values()])

    def _check_file(self) -> None:
        """Notice that the database was deleted: SQLite goes on writing to the nameless file."""
        if identity(self._engine) != self._file:
            raise DatabaseError(
                f"{self._engine.url.database} was replaced by another file while the study ran. "
                "What was written to it since is lost."
            )

    def _patience(self) -> float:
        return HURRY_S if self._leaving or self._signals.hurried else math.inf

    def _stop_asked(self, deadline: float | None) -> Ended | None:
        """Return why to stop at once, or None; the first Ctrl-C only stops what would begin."""
        if self._signals.terminated:
            return Ended.TERMINATED
        if self._signals.hurried:
            return Ended.INTERRUPTED
        if deadline is not None and time.monotonic() >= deadline:
            return Ended.TIMEOUT
        if self._signals.came and not self._stopping:
            self._stopping = True
            self._watcher.stopping()
        return None


def outcome_of(study: Study, done: Message) -> Outcome:
    """Return how a trial ended, from its worker's last message."""
    definition = study.definition
    seconds: float = done["seconds"]
    match done["state"]:
        case "complete":
            return Outcome("complete", done["value"], seconds)
        case "pruned":
            return Outcome("pruned", None, seconds)
        case "diverged":
            value = floor_value(
                study.description, definition.direction, definition.metric, done["worst"]
            )
            if value is None:  # nothing was ever reported: there is no honest value
                return Outcome("failed", None, seconds, done["step"], reason="diverged")
            return Outcome("complete", value, seconds, diverged_at=done["step"])
        case _:
            return Outcome("failed", None, seconds, reason="error", error=done["error"])
