"""The visible loop: claim a slot, draw its parameters, let a worker run it, record the result.

One supervisor owns the database connection and the leases of its workers; the workers only
compute. Several supervisors may work on the same stage: the ledger shares the budget out.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from hpo import sampling
from hpo.errors import DatabaseError, HpoError, ObjectiveError, SlotTakenOver
from hpo.objective import floor_value
from hpo.pool import Message, Pool, Worker
from hpo.store.engine import Engine, identity, reading
from hpo.store.ledger import Claim, Ledger, Outcome, Step
from hpo.store.studies import find_stage
from hpo.store.trials import stage_trials
from hpo.study import Ended, Stage, Study
from hpo.trial import Trial, TrialState
from hpo.watcher import Watcher

RECORD_EVERY_S = 1.0
"""Reported steps wait this long at most before they are visible in the database."""

POLL_S = 0.2
"""How often signals, the time limit and other supervisors are looked at."""


@dataclass
class _Running:
    """A claimed slot and the worker that computes it."""

    claim: Claim
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
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
        self._ancestors = ancestors
        self._pool = pool
        self._watcher = watcher
        self._ledger = Ledger(engine, stage, study.definition.metric)
        self._running: dict[Worker, _Running] = {}
        self._signals: list[int] = []
        self._metric_missed = False
        self._stillborn = 0

    def run(self, timeout: float | None = None) -> Ended:
        """Run the stage until it is finished, the time is over, or a signal arrives.

        Args:
            timeout: Seconds after which no trial is begun and running ones are given back.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        recorded, announced = time.monotonic(), False
        with reading(self._engine) as connection:
            known = stage_trials(connection, self._stage)
        file = identity(self._engine)
        self._watcher.stage_began(self._study, self._stage, known, len(self._pool.workers))
        self._ledger.recover()
        with self._listening():
            try:
                while True:
                    if ended := self._stop_asked(deadline):
                        return ended
                    if not self._signals:
                        self._employ()
                    if not self._running:
                        self._check_file(file)
                        if self._signals:
                            return Ended.INTERRUPTED
                        if self._finished():
                            return Ended.FINISHED
                        self._ledger.recover()  # another supervisor holds the rest: is it alive?
                    for worker, event in self._pool.events(POLL_S):
                        self._handle(worker, event)
                    if self._signals and not announced:
                        announced = True
                        self._watcher.stopping()
                    if time.monotonic() - recorded > RECORD_EVERY_S:
                        self._check_file(file)
                        self._record_steps()
                        recorded = time.monotonic()
            finally:
                self._give_back()
                self._ledger.close()
                self._watcher.stage_ended()

    def _employ(self) -> None:
        """Give each idle worker the next open slot."""
        for worker in self._pool.workers:
            if worker in self._running or not worker.ready:
                continue
            claim = self._ledger.claim()
            if claim is None:
                return
            # Noted before anything can fail, so that the slot is given back if something does.
            running = self._running[worker] = _Running(claim)
            unit = claim.slot if self._stage.seeds == 1 else claim.slot % self._stage.seeds
            search = self._study.definition.search
            running.seed = sampling.run_seed(search.seed, self._stage.number, unit)
            drawn = claim.params if claim.params is not None else self._draw(claim.slot)
            running.params = self._ledger.sampled(claim, drawn, running.seed)
            fixed = self._study.definition.fixed or {}
            params = {**fixed, **running.params}
            worker.send({"do": "run", "params": params, "seed": running.seed})

    def _draw(self, slot: int) -> Mapping[str, Any]:
        """Draw the parameters of a slot."""
        evidence: list[Trial] = []
        if sampling.needs_evidence(self._stage.sampler):
            with reading(self._engine) as connection:
                stages = (self._stage, *self._ancestors)
                trials = [trial for stage in stages for trial in stage_trials(connection, stage)]
            evidence = [t for t in trials if t.state is not TrialState.WAITING and t.params]
        request = sampling.Request(
            space=self._stage.space,
            seed=self._study.definition.search.seed,
            stage=self._stage.number,
            setting=slot // self._stage.seeds,
            settings=self._stage.budget // self._stage.seeds,
            direction=self._study.definition.direction,
            replicates=self._stage.seeds,
        )
        return sampling.suggest(self._stage.sampler, request, evidence)

    def _handle(self, worker: Worker, event: Message | list[str] | None) -> None:
        running = self._running.get(worker)
        match event:
            case list():
                for line in event:
                    self._watcher.printed(running.claim.slot if running else None, line)
            case None:
                self._replace(worker, running)
            case {"say": "steps"} if running:
                running.steps += [Step(*step) for step in event["steps"]]
                running.reported += len(event["steps"])
            case {"say": "done"} if running:
                self._look_for_metric(event["metrics"])
                with suppress(SlotTakenOver):
                    self._finish(running, self._outcome(event))
                del self._running[worker]
            case {"say": "broken"}:
                # The objective was edited while the study runs. Trying again would burn the
                # budget; the stage stays open instead.
                raise ObjectiveError(event["error"])

    def _outcome(self, done: Message) -> Outcome:
        seconds: float = done["seconds"]
        match done["state"]:
            case "complete":
                return Outcome("complete", done["value"], seconds)
            case "pruned":
                return Outcome("pruned", None, seconds)
            case "diverged":
                definition = self._study.definition
                value = floor_value(
                    self._study.description, definition.direction, definition.metric, done["worst"]
                )
                if value is None:  # nothing was ever reported: there is no honest value
                    return Outcome("failed", None, seconds, done["step"], reason="diverged")
                return Outcome("complete", value, seconds, diverged_at=done["step"])
            case _:
                return Outcome("failed", None, seconds, reason="error", error=done["error"])

    def _finish(self, running: _Running, outcome: Outcome) -> None:
        self._ledger.finish(running.claim, outcome, running.steps)
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        self._watcher.trial_ended(
            Trial(
                stage=self._stage.number,
                number=running.claim.slot,
                state=state.get(outcome.state, TrialState.FAIL),
                params=running.params,
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
        if self._stillborn >= self._study.definition.search.max_attempts:
            raise ObjectiveError(
                f"{self._stillborn} workers in a row died while they imported "
                f"{self._study.definition.objective}"
            )
        if running is not None:
            seconds = time.monotonic() - running.began
            limit = self._study.definition.search.max_attempts
            with suppress(SlotTakenOver):
                again = self._ledger.lose(running.claim, limit, seconds)
                self._watcher.trial_lost(running.claim.slot, again)
            del self._running[worker]
        self._pool.replace(worker)

    def _record_steps(self) -> None:
        for worker, running in list(self._running.items()):
            try:
                self._ledger.record(running.claim, running.steps)
                running.steps = []
            except SlotTakenOver:  # what the worker computes is of no use any more
                del self._running[worker]
                worker.stop()
                self._pool.replace(worker)

    def _look_for_metric(self, reported: list[str]) -> None:
        """Warn once if a trial reported metrics, but not the study's."""
        metric = self._study.definition.metric
        if reported and metric not in reported and not self._metric_missed:
            self._metric_missed = True
            self._watcher.warned(
                f"metric = {metric!r} is never reported; the objective reports "
                f"{', '.join(reported)}. Without it there are no learning curves of the score."
            )

    def _give_back(self) -> None:
        """Open the slots again that are still running."""
        for running in self._running.values():
            # One that cannot be given back (the disk is full, the file is gone) must not keep the
            # others, nor hide why we stop; it is free as soon as this process has ended.
            with suppress(HpoError):
                self._ledger.release(running.claim)

    def _check_file(self, file: tuple[int, int]) -> None:
        """Notice that the database was deleted: SQLite goes on writing to the nameless file."""
        if identity(self._engine) != file:
            raise DatabaseError(
                f"{self._engine.url.database} was replaced by another file while the study ran. "
                "What was written to it since is lost."
            )

    def _finished(self) -> bool:
        with reading(self._engine) as connection:
            return not find_stage(connection, self._study, self._stage.number).open

    def _stop_asked(self, deadline: float | None) -> Ended | None:
        if signal.SIGTERM in self._signals:
            return Ended.TERMINATED
        if len(self._signals) > 1:
            return Ended.INTERRUPTED
        if deadline is not None and time.monotonic() >= deadline:
            return Ended.TIMEOUT
        return None

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as requests: once finishes what runs, twice stops now."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python delivers signals to the main thread only
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        previous = {
            number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
