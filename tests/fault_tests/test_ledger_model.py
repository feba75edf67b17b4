"""The ledger against a model of itself: whatever happens in whatever order, both agree.

Hypothesis makes up histories of several supervisors and stages
(https://hypothesis.readthedocs.io/en/latest/stateful.html). After every step the database is
sound, and what is read from it is what the model expects.
"""

from __future__ import annotations

import itertools
import math
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import databases
import pytest
from databases import LOST, PARAMS, ledger_of, problems, url_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hpo.errors import SlotTakenOver
from hpo.store import check, lease, studies
from hpo.store.attempt import Claim, Outcome, Step
from hpo.store.engine import open_engine, reading, writing
from hpo.store.ledger import Ledger
from hpo.store.trials import stage_curves, stage_trials
from hpo.study import Stage
from hpo.trial import Trial, TrialState

SCORES = st.lists(st.sampled_from([0.25, 0.5, math.nan, math.inf]), max_size=2)
OUTCOMES = st.sampled_from(
    [
        Outcome("complete", 0.75, 1.0),
        Outcome("complete", 0.125, 1.0, diverged_at=3),
        Outcome("pruned", None, 1.0),
        Outcome("failed", None, 1.0, reason="error", error="Traceback\nValueError: no"),
        Outcome("failed", None, 1.0, diverged_at=0, reason="diverged"),
    ]
)
TRIAL_STATE = {
    "open": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


# The model


@dataclass(eq=False)
class Supervisor:
    """One that claims slots; its ledger is what is tested."""

    ledger: Ledger
    stage: int
    alive: bool = True


@dataclass
class Slot:
    """What must be known of a slot."""

    state: str = "open"
    attempt: int = 0
    owner: Supervisor | None = None
    lease: float = 0.0
    end: Outcome | None = None
    scores: list[float] = field(default_factory=list)
    uncounted: list[str] = field(default_factory=list)

    def free_for(self, supervisor: Supervisor, now: float) -> str | None:
        """Return why a supervisor may have it, if it may."""
        if self.owner is None:
            return self.state if self.state == "open" else None
        if self.owner is supervisor:
            return None
        if not self.owner.alive:
            return "abandoned"
        return "expired" if now > self.lease else None

    def claim(self, supervisor: Supervisor, now: float) -> str | None:
        why = self.free_for(supervisor, now)
        if why is not None:
            if why != "open":
                self.uncounted.append(why)
            self.state, self.owner, self.scores = "running", supervisor, []
            self.attempt, self.lease = self.attempt + 1, now + lease.LEASE_S
        return why

    def held(self, by: Attempt) -> bool:
        return self.owner is by.supervisor and self.attempt == by.claim.attempt

    def reopen(self, reason: str) -> None:
        self.state, self.owner = "open", None
        self.uncounted.append(reason)

    def finish(self, outcome: Outcome) -> None:
        self.state, self.owner, self.end = outcome.state, None, outcome

    @property
    def value(self) -> float | None:
        if self.state == "pruned":  # its last value that is one
            return next(filter(math.isfinite, reversed(self.scores)), None)
        return self.end.value if self.end else None


@dataclass(eq=False)
class Attempt:
    """A claim, as long as anybody remembers it: its slot may be another's long since."""

    supervisor: Supervisor
    claim: Claim


# The ledger beside it


class Clock:
    """The steady clock of the host."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Histories(RuleBasedStateMachine):
    """Does the same to the ledger and to the model.

    Args:
        path: An empty database.
        clock: What `hpo.store.lease` takes for the steady clock.
        seen: Counts what happened, over all histories.
    """

    def __init__(self, path: Path, clock: Clock, seen: Counter[str]) -> None:
        super().__init__()
        self.path, self.clock, self.seen = path, clock, seen
        self.engine = open_engine(url_of(path), "write")
        self.reader = open_engine(url_of(path), "read")
        self.stages: list[Stage] = []
        self.slots: list[list[Slot]] = []
        self.params: list[dict[int, Any]] = []  # of each setting
        self.supervisors: list[Supervisor] = []  # who live; of what they know:
        self.openings: list[tuple[Supervisor, int]] = []
        self.attempts: list[Attempt] = []
        self.compared: object = None

    def teardown(self) -> None:
        for supervisor in self.supervisors:
            supervisor.ledger.close()
        self.reader.dispose()
        self.engine.dispose()
        self.path.unlink()

    @initialize()
    def first_stage(self) -> None:
        self.study, stage = databases.begun(self.engine, 4)
        self.add(stage)

    def add(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.slots.append([Slot() for _ in range(stage.budget)])
        self.params.append({})
        for _ in range(3):
            self.supervisor_comes(len(self.stages) - 1)

    def slot_of(self, attempt: Attempt) -> Slot:
        return self.slots[attempt.supervisor.stage][attempt.claim.slot]

    def setting_of(self, supervisor: Supervisor, slot: int) -> int:
        return slot // self.stages[supervisor.stage].seeds

    # What supervisors do

    def supervisor_comes(self, stage: int) -> None:
        supervisor = Supervisor(ledger_of(self.engine, self.stages[stage]), stage)
        self.supervisors.append(supervisor)
        slot = self.looked_for(supervisor)
        if slot is not None:
            self.claimed(supervisor, slot, n=9)

    def looked_for(self, supervisor: Supervisor) -> int | None:
        slots, now = self.slots[supervisor.stage], self.clock.now
        free = [n for n, slot in enumerate(slots) if slot.free_for(supervisor, now)]
        opening = supervisor.ledger.next_open()
        if opening is None:
            assert free == []
            return None
        assert opening.slot == free[0]
        drawn = self.params[supervisor.stage].get(self.setting_of(supervisor, opening.slot))
        assert opening.params == drawn
        return opening.slot

    def claimed(self, supervisor: Supervisor, slot: int, n: int) -> None:
        claim = supervisor.ledger.claim(slot, {**PARAMS, "n": n}, seed=slot)
        why = self.slots[supervisor.stage][slot].claim(supervisor, self.clock.now)
        self.seen[why or "too late"] += 1
        if why is None:
            assert claim is None
            return
        assert claim is not None
        setting = self.setting_of(supervisor, slot)
        drawn = self.params[supervisor.stage].setdefault(setting, {**PARAMS, "n": n})
        assert (claim.slot, claim.params) == (slot, drawn)
        self.attempts.append(Attempt(supervisor, claim))

    @rule(data=st.data())
    def supervisor_dies(self, data: st.DataObject) -> None:
        """And another is started."""
        supervisor = data.draw(st.sampled_from(self.supervisors))
        supervisor.ledger.close()
        supervisor.alive = False
        self.supervisors.remove(supervisor)
        self.openings = [each for each in self.openings if each[0].alive]
        self.attempts = [each for each in self.attempts if each.supervisor.alive]
        self.supervisor_comes(supervisor.stage)

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        supervisor = data.draw(st.sampled_from(self.supervisors))
        slot = self.looked_for(supervisor)
        if slot is not None:
            self.openings.append((supervisor, slot))

    @precondition(lambda self: self.openings)
    @rule(data=st.data(), n=st.integers(1, 9))
    def claim(self, data: st.DataObject, n: int) -> None:
        """Claim what was open when it was looked for."""
        opening = data.draw(st.sampled_from(self.openings))
        self.openings.remove(opening)
        self.claimed(*opening, n)

    @rule(data=st.data(), n=st.integers(1, 9))
    def look_and_claim(self, data: st.DataObject, n: int) -> None:
        supervisor = data.draw(st.sampled_from(self.supervisors))
        slot = self.looked_for(supervisor)
        if slot is not None:
            self.claimed(supervisor, slot, n)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), scores=SCORES)
    def beat(self, data: st.DataObject, scores: list[float]) -> None:
        """Beat for all that a supervisor thinks it holds."""
        supervisor = data.draw(st.sampled_from(self.attempts)).supervisor
        attempts = [each for each in self.attempts if each.supervisor is supervisor]
        reports = [(each.claim, self.steps(each, scores)) for each in attempts]
        taken = supervisor.ledger.beat(reports)
        lost = [each for each in attempts if not self.slot_of(each).held(each)]
        assert taken == [each.claim for each in lost]
        self.seen["beat refused"] += len(lost)
        for each in attempts:
            if each in lost:
                self.attempts.remove(each)
            else:
                self.slot_of(each).lease = self.clock.now + lease.LEASE_S
                self.slot_of(each).scores += scores

    def steps(self, attempt: Attempt, scores: list[float]) -> list[Step]:
        first = len(self.slot_of(attempt).scores)
        return [Step(first + i, 0.5, {"score": score}) for i, score in enumerate(scores)]

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), outcome=OUTCOMES, scores=SCORES)
    def finish(self, data: st.DataObject, outcome: Outcome, scores: list[float]) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        with self.written(attempt, "finish") as slot:
            attempt.supervisor.ledger.finish(attempt.claim, outcome, self.steps(attempt, scores))
            slot.scores += scores
            slot.finish(outcome)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), most=st.integers(1, 3))
    def lose(self, data: st.DataObject, most: int) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        with self.written(attempt, "lose") as slot:
            again = attempt.supervisor.ledger.lose(attempt.claim, most, LOST)
            assert again == (slot.uncounted.count("lost") + 1 < most)
            if again:
                slot.reopen("lost")
            else:
                slot.finish(LOST)
            self.seen["lost" if again else "given up"] += 1

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        slot = self.slot_of(attempt)
        attempt.supervisor.ledger.release([attempt.claim])
        if slot.held(attempt):
            slot.reopen("cancelled")
            self.seen["release"] += 1
        else:
            self.attempts.remove(attempt)
            self.seen["release refused"] += 1

    @contextmanager
    def written(self, attempt: Attempt, what: str) -> Iterator[Slot]:
        """Expect that who does not hold the slot any more is refused."""
        slot = self.slot_of(attempt)
        if slot.held(attempt):
            yield slot
            self.seen[what] += 1
        else:
            with pytest.raises(SlotTakenOver):
                yield slot
            self.attempts.remove(attempt)  # now it knows
            self.seen[f"{what} refused"] += 1

    # What happens around them

    @rule(seconds=st.sampled_from([lease.LEASE_S / 2, lease.LEASE_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(stage=st.integers(0, 1), more=st.integers(0, 2))
    def budget_is_raised(self, stage: int, more: int) -> None:
        stage %= len(self.stages)
        more *= self.stages[stage].seeds
        budget = len(self.slots[stage]) + more
        with writing(self.engine) as connection:
            found = studies.find_stage(connection, self.study, stage + 1)
            studies.raise_budget(connection, self.study, found, budget)
        self.slots[stage] += [Slot() for _ in range(more)]

    @precondition(lambda self: len(self.stages) == 1)
    @rule()
    def second_stage(self) -> None:
        """A stage of two replicates for each setting."""
        with writing(self.engine) as connection:
            stage = studies.create_stage(
                connection,
                self.study,
                parent=self.stages[0],
                kind="confirm",
                space=self.stages[0].space,
                evidence=None,
                sampler="random",
                budget=4,
                seeds=2,
            )
        self.add(stage)

    # What must be true after each step

    @invariant()
    def both_agree(self) -> None:
        size = self.path.with_name(f"{self.path.name}-wal").stat().st_size
        now = (size, repr(self.slots))  # the WAL grows with each commit
        if now == self.compared:
            return
        self.compared = now
        assert problems(self.path) == []
        with reading(self.engine) as connection:
            for stage, slots in zip(
                studies.study_stages(connection, self.study), self.slots, strict=True
            ):
                assert stage.budget == len(slots)
                assert stage.open == any(slot.end is None for slot in slots)
                begun = [number for number, slot in enumerate(slots) if slot.attempt > 0]
                assert stage_trials(connection, stage) == [self.trial(stage, n) for n in begun]
                assert [
                    (number, attempt, step, repr(metrics["score"]))  # NaN equals nothing
                    for number, attempt, step, _, metrics in stage_curves(connection, stage)
                ] == [
                    (number, slots[number].attempt, step, repr(score))
                    for number in begun
                    for step, score in enumerate(slots[number].scores)
                ]

    def trial(self, stage: Stage, number: int) -> Trial:
        slot = self.slots[stage.number - 1][number]
        end = slot.end or Outcome("failed", None, None)  # type: ignore[arg-type]
        return Trial(
            stage=stage.number,
            number=number,
            state=TRIAL_STATE[slot.state],
            params=self.params[stage.number - 1][number // stage.seeds],
            value=slot.value,
            attempt=slot.attempt,
            seed=number,
            diverged_at=end.diverged_at,
            steps=len(slot.scores),
            seconds=end.seconds,
            reason=end.reason,
            error=end.error,
            retried=tuple(slot.uncounted),
        )


def test_the_ledger_does_what_the_model_does(
    soak: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, seen = Clock(), Counter[str]()
    monkeypatch.setattr(lease, "time", clock)
    template, numbers = tmp_path / "template.db", itertools.count()
    databases.new(template).dispose()

    def history() -> Histories:
        path = shutil.copy(template, tmp_path / f"{next(numbers)}.db")
        found = Histories(path, clock, seen)
        # To prepare the queries of a check anew at each step would take most of the time.
        monkeypatch.setattr(check, "opened", lambda url, mode: nullcontext(found.reader))
        return found

    run_state_machine_as_test(
        history,
        settings=settings(
            max_examples=2000 if soak else 30,
            stateful_step_count=30,
            derandomize=not soak,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for event in ("abandoned", "expired", "lost", "given up", "finish", "release"):
        assert seen[event] >= 10, seen
    for event in ("beat refused", "finish refused", "lose refused", "release refused"):
        assert seen[event] >= 5, seen
    assert seen["too late"] >= 1, seen
