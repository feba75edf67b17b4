"""Workers and supervisors killed and stopped at random: nothing is lost, nothing counted twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pandas as pd
import pytest
import storm
from databases import problems, slots_of, sql
from objectives.files import place
from processes import HPO, Child, eventually, start_hpo
from storm import (
    LEASE_S,
    Terminal,
    ended,
    families,
    gathered,
    start_short,
    workers_of,
)

import hpo

pytestmark = pytest.mark.usefixtures("command_home")

DB = Path("hpo.db")

Attempt = tuple[int, int, int]
"""Slot, number of the attempt, process number of the supervisor."""


def attempt_of(slot: int, attempt: int, owner: str) -> Attempt:
    return slot, attempt, int(owner.rsplit("/", 3)[1])


def held_by(supervisor: Child) -> set[Attempt]:
    """Return the attempts that it has in hand."""
    rows = sql(DB, "SELECT slot, attempt, owner FROM hpo_slots WHERE state = 'running'")
    return {held for row in rows if (held := attempt_of(*row))[2] == supervisor.pid}


def retried(reason: str) -> list[Attempt]:
    """Return the attempts that did not count for a reason."""
    rows = sql(
        DB,
        "SELECT slot, r.attempt, r.owner FROM hpo_retries r JOIN hpo_slots ON id = slot_id "
        "WHERE r.reason = ?",
        reason,
    )
    return sorted(attempt_of(*row) for row in rows)


def steps_of(attempts: set[Attempt]) -> dict[Attempt, int]:
    """Return how many steps are stored of attempts."""
    count = (
        "SELECT count(*) FROM hpo_curves c JOIN hpo_slots ON id = slot_id "
        "WHERE slot = ? AND c.attempt = ?"
    )
    return {attempt: sql(DB, count, *attempt[:2])[0][0] for attempt in attempts}


def begun() -> bool:
    """Whether the study is in the database."""
    tables = "SELECT * FROM sqlite_master WHERE name = 'hpo_slots'"
    return DB.exists() and sql(DB, tables) != [] and slots_of(DB) != []


def counted() -> int:
    return sum(state not in ("open", "running") for _, state, _ in slots_of(DB))


def results(storage: str) -> list[pd.DataFrame]:
    """Return all that must repeat bit for bit: the shortest text of a float is exact."""
    frames = hpo.report(1, storage=storage), hpo.curves(1, storage=storage)
    return [frame.drop(columns=["study", "seconds", "attempt"]).map(repr) for frame in frames]


class Storm:
    """One study, the supervisor that runs it, and the faults that were injected.

    Args:
        stack: Ends all processes at the end.
        definition: The definition file.
        workers: Workers per supervisor.
    """

    def __init__(self, stack: ExitStack, definition: Path, workers: int) -> None:
        self._stack = stack
        self._workers = workers
        self._random = random.Random(1)
        self.worker_kills: Counter[int] = Counter()
        self.worker_pauses = 0
        self.supervisor_kills = 0
        self.supervisor_pauses = 0
        self.terminated: list[int] = []
        self.abandoned: list[Attempt] = []
        self.expired: list[Attempt] = []
        self.refused: dict[Attempt, int] = {}
        self.hpo = self._start("start", definition)
        self.hpo.until(begun)

    def _start(self, *arguments: object) -> Child:
        return self._stack.enter_context(start_short(*arguments, "--workers", self._workers))

    def _victim(self, supervisor: Child) -> int:
        """Return one of its workers, at a random moment after all of them were at work."""
        supervisor.until(lambda: len(held_by(supervisor)) == self._workers)
        time.sleep(self._random.uniform(0, 0.3))
        return self._random.choice(workers_of(supervisor))

    def kill_worker(self, supervisor: Child | None = None) -> None:
        supervisor = supervisor or self.hpo
        os.kill(self._victim(supervisor), signal.SIGKILL)
        self.worker_kills[supervisor.pid] += 1

    def kill_supervisor(self) -> None:
        """Kill it in the middle of trials, and resume."""
        self._victim(self.hpo)
        self.hpo.kill()
        self.hpo.wait()
        self.supervisor_kills += 1
        self.abandoned += held_by(self.hpo)
        self.hpo = self._start("resume", 1)

    def pause_worker(self) -> int:
        worker = self._victim(self.hpo)
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: storm.state(worker) == "T")
        self.worker_pauses += 1
        return worker

    def pause_supervisor(self) -> None:
        """Stop it until another has taken its slots; then both go on, and the first is ended."""
        first = self.hpo
        while True:
            self._victim(first)
            first.send_signal(signal.SIGSTOP)
            eventually(lambda: storm.state(first.pid) == "T")
            if not write_locked():
                break
            first.send_signal(signal.SIGCONT)  # in the middle of a write: nobody else can
        lost = held_by(first)
        assert lost
        self.hpo = self._start("resume", 1)
        self.hpo.until(lambda: not held_by(first))
        self.supervisor_pauses += 1
        self.expired += lost
        self.refused |= steps_of(lost)
        first.send_signal(signal.SIGCONT)
        self.kill_worker(first)  # which has other slots by then
        first.terminate()
        first.wait(30)
        assert first.returncode == 143
        self.terminated.append(first.pid)


def write_locked() -> bool:
    """Whether somebody is in the middle of a write transaction."""
    with closing(sqlite3.connect(DB, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def test_a_storm(soak: bool) -> None:
    trials, workers, rounds, pause = (1000, 4, 75, 0.1) if soak else (100, 3, 5, 0.05)
    definition = place(
        Path(),
        "storm:lasting",
        # However slow the machine is, the trials do not end before the storm does.
        fixed={"epochs": 10, "pause": pause, "most": trials * 8 // 10},
        search={"trials": trials, "seed": 5, "max_attempts": 1000},
    )
    with ExitStack() as stack:
        faults = Storm(stack, definition, workers)
        for _ in range(rounds):
            stopped = faults.pause_worker()
            faults.kill_worker()
            faults.kill_worker()
            with suppress(ProcessLookupError):  # it may have been among the killed
                os.kill(stopped, signal.SIGCONT)
            faults.kill_supervisor()
            faults.kill_worker()
            faults.pause_supervisor()
        assert counted() < trials
        Path("calm").touch()
        faults.hpo.answer(within=600)

    # What was done
    assert faults.worker_kills.total() == 4 * rounds
    assert faults.worker_pauses == faults.supervisor_kills == faults.supervisor_pauses == rounds

    # What it caused: each attempt that did not count is explained by a fault
    assert retried("abandoned") == sorted(faults.abandoned)
    assert retried("expired") == sorted(faults.expired)
    lost = Counter(pid for *_, pid in retried("lost"))
    assert lost <= faults.worker_kills
    assert lost.total() > 2 * rounds
    cancelled = Counter(pid for *_, pid in retried("cancelled"))
    assert cancelled <= Counter(dict.fromkeys(faults.terminated, workers))
    explained = lost.total() + cancelled.total() + len(faults.abandoned) + len(faults.expired)
    assert sql(DB, "SELECT count(*) FROM hpo_retries") == [(explained,)]
    assert steps_of(set(faults.expired)) == faults.refused

    # What it did to the study: nothing
    assert slots_of(DB, "slot, state") == [(slot, "complete") for slot in range(trials)]
    hpo.start(definition, storage="sqlite:///calm.db", settings={"pause": 0}, workers=2)
    for calm, stormy in zip(results("sqlite:///calm.db"), results("sqlite:///hpo.db"), strict=True):
        pd.testing.assert_frame_equal(calm, stormy)
    assert len(hpo.curves(1)) == 10 * trials
    assert problems(DB) == []


def test_a_stopped_worker_costs_nothing_while_its_supervisor_lives() -> None:
    """Another supervisor has an idle worker and looks for slots all the while."""
    definition = place(Path(), "patient", search={"trials": 2})
    with ExitStack() as stack:
        first = stack.enter_context(start_short("start", definition, "--workers", 1))
        first.until(lambda: list(Path().glob("worker-*")))
        (worker,) = workers_of(first)
        second = stack.enter_context(start_short("resume", 1, "--workers", 2))
        second.until(lambda: held_by(second))
        os.kill(worker, signal.SIGSTOP)
        eventually(lambda: storm.state(worker) == "T")
        stopped = time.monotonic()
        lease = "SELECT lease FROM hpo_slots WHERE slot = 0"
        # It ends at LEASE_S after the last beat, which came when the worker had been stopped for
        # longer than a lease.
        first.until(lambda: sql(DB, lease)[0][0] > stopped + 2.5 * LEASE_S)
        assert held_by(first) == {(0, 1, first.pid)}
        assert storm.state(worker) == "T"
        os.kill(worker, signal.SIGCONT)
        Path("go").touch()
        first.answer()
        second.answer()
    assert slots_of(DB) == [(0, "complete", 1), (1, "complete", 1)]
    assert problems(DB) == []


def test_a_worker_that_is_stopped_for_ever_fails_its_trial_by_the_limit() -> None:
    definition = place(Path(), "patient", search={"trials": 2})
    with start_hpo("start", definition, "--workers", 1, "--trial-timeout", 4) as process:
        process.until(lambda: list(Path().glob("worker-*")))
        (worker,) = workers_of(process)
        os.kill(worker, signal.SIGSTOP)
        Path("go").touch()
        process.answer()
    assert ended([worker])
    rows = slots_of(DB, "slot, state, attempt, reason, seconds >= 4")
    assert rows == [(0, "failed", 1, "timeout", 1), (1, "complete", 1, None, 0)]
    assert problems(DB) == []


FAMILY = {
    "objective": "storm:family",
    "space": {"n": {"low": 0, "high": 1}},
    "search": {"sampler": "grid", "trials": 2},
}


def test_a_killed_supervisor_takes_its_workers_and_their_children_along() -> None:
    """One trial computes for ever, one waits for ever; each has started a program and a fork."""
    with start_hpo("start", place(Path(), **FAMILY), "--workers", 2) as process:
        process.until(lambda: families(2))
        everyone = [pid for family in families(2) for pid in family]
        assert len(everyone) == 6
        assert not any(ended([pid]) for pid in everyone)
        process.kill()
        process.communicate(timeout=5)
    eventually(lambda: ended(everyone), within=5)
    both = [(0, 1, process.pid), (1, 1, process.pid)]
    assert sorted(held_by(process)) == both
    assert problems(DB) == []
    hpo.resume(1, workers=2)
    assert retried("abandoned") == both
    assert slots_of(DB) == [(0, "complete", 2), (1, "complete", 2)]
    assert problems(DB) == []


def test_a_fork_that_outlives_its_worker_is_no_life_sign() -> None:
    with start_hpo("start", place(Path(), **FAMILY), "--workers", 2) as process:
        process.until(lambda: families(2))
        for worker, program, fork in families(2):
            assert not ended([program])
            assert not ended([fork])
            assert holds_a_socket(fork)
            os.kill(worker, signal.SIGKILL)
        process.answer()
    assert ended(pid for family in families(2) for pid in family)
    assert retried("lost") == [(0, 1, process.pid), (1, 1, process.pid)]
    assert slots_of(DB) == [(0, "complete", 2), (1, "complete", 2)]
    assert problems(DB) == []


def holds_a_socket(pid: int) -> bool:
    held = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return any(name.startswith("socket:") for name in held)


def test_a_start_and_two_resumes_share_the_budget() -> None:
    """No trial ends before each of them runs one."""
    trials = 30
    definition = place(
        Path(), "storm:gathering", fixed={"supervisors": 3}, search={"trials": trials}
    )
    with ExitStack() as stack:
        first = stack.enter_context(Terminal(HPO, "start", definition, "--workers", 2))
        first.until(begun)
        others = [
            stack.enter_context(start_hpo("resume", 1, "--workers", 2, "--json")) for _ in range(2)
        ]
        assert first.end() == 0
        assert f"{trials}/{trials} ━" in first.text()  # its bar shows the others' share, too
        told = [json.loads(other.answer()) for other in others]
    everything = {"complete": trials, "pruned": 0, "failed": 0, "open": 0}
    assert [one["stages"][0]["counts"] for one in told] == [everything, everything]
    assert set(gathered()) == {first.pid, *(other.pid for other in others)}
    assert sum(gathered().values()) == trials
    assert slots_of(DB) == [(slot, "complete", 1) for slot in range(trials)]
    assert len(hpo.curves(1)) == 3 * trials
    assert problems(DB) == []
