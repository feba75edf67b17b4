"""What processes beside the test do to a ledger: they race, die at a chosen place, or misread time.

A process is started once and then told what to call (`serve`): several are at the same statement
at the same moment, and a fork of one that has imported everything costs milliseconds.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databases
from databases import LOST, PARAMS, ledger_of, steps, url_of
from processes import Child

from hpo.errors import SlotTakenOver, StateError
from hpo.store import lease, migrations, studies, test_uses
from hpo.store.attempt import Claim, Outcome
from hpo.store.engine import Engine, open_engine, reading, writing
from hpo.store.ledger import Ledger
from hpo.study import Stage, Study
from hpo.use import Result

# In the test


def ask(child: Child, function: Callable[..., Any], *arguments: object) -> None:
    """Tell a process that serves to call a function of this module; a path arrives as text."""
    assert child.stdin is not None
    child.stdin.write(json.dumps([function.__name__, *arguments], default=str) + "\n")
    child.stdin.flush()


def told(child: Child) -> Any:
    """Wait for what the function returns."""
    assert child.stdout is not None
    answer = child.stdout.readline()
    assert answer, "the process has ended"
    return json.loads(answer)


def all_at_once(
    children: Sequence[Child], function: Callable[..., Any], *arguments: object
) -> list[Any]:
    for child in children:
        ask(child, function, *arguments)
    return [told(child) for child in children]


# In the process


def serve() -> None:
    """Do the calls that come, one a line."""
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(globals()[name](*arguments)), flush=True)


def stage_of(path: str | Path, study: int) -> tuple[Stage, Ledger]:
    """Open a database; return stage 1 of a study and a new ledger on it."""
    engine = open_engine(url_of(Path(path)), "write")
    with reading(engine) as connection:
        stage = studies.find_stage(connection, studies.find_study(connection, study), 1)
    return stage, ledger_of(engine, stage)


# Races


def run_open_slots(path: str, study: int) -> dict[str, Any]:
    """Run slots until none is open.

    Returns:
        `done`: slot and attempt of each; `conflicts`: how often another came first.
    """
    _, ledger = stage_of(path, study)
    done, conflicts = [], 0
    while opening := ledger.next_open():
        claim = ledger.claim(opening.slot, opening.params or PARAMS, seed=opening.slot)
        if claim is None:
            conflicts += 1
            continue
        ledger.finish(claim, Outcome("complete", float(claim.slot), 0.1), steps(0.25))
        done.append((claim.slot, claim.attempt))
    return {"done": done, "conflicts": conflicts}


def run_until_finished(path: str, study: int) -> int:
    """Run slots until the stage is finished, also those that are added; return how many."""
    engine = open_engine(url_of(Path(path)), "write")
    done = 0
    while True:
        done += len(run_open_slots(path, study)["done"])
        with reading(engine) as connection:
            stage = studies.find_stage(connection, studies.find_study(connection, study), 1)
        if not stage.open:
            return done
        time.sleep(0.005)


def make_database(path: str) -> bool:
    """Make a database, unless it is there; return whether it was not."""
    engine = open_engine(url_of(Path(path)), "create")
    with reading(engine) as connection:
        absent = migrations.revision(connection) is None
    migrations.prepare(engine)
    return absent


def try_to_raise(path: str, budget: int) -> bool:
    """Raise the budget of stage 1; return whether it was not larger already."""
    engine = open_engine(url_of(Path(path)), "write")
    try:
        with writing(engine) as connection:
            study = studies.find_study(connection, 1)
            stage = studies.find_stage(connection, study, 1)
            studies.raise_budget(connection, study, stage, budget)
    except StateError:
        return False
    return True


# Deaths


def claim(path: Path) -> Callable[[], object]:
    _, ledger = stage_of(path, 1)
    opening = ledger.next_open()
    assert opening is not None
    return lambda: ledger.claim(opening.slot, opening.params or PARAMS, seed=7)


def beat(path: Path) -> Callable[[], object]:
    ledger, held = _held(path)
    return lambda: ledger.beat([(held, steps(0.25, 0.5))])


def finish(path: Path) -> Callable[[], object]:
    ledger, held = _held(path)
    ledger.beat([(held, steps(0.25))])
    outcome = Outcome("complete", 0.75, 1.0, diverged_at=2)
    return lambda: ledger.finish(held, outcome, steps(0.25, 0.5, 0.75)[1:])


def finish_last(path: Path) -> Callable[[], object]:
    """Finish the last slot, which finishes the stage."""
    _, ledger = stage_of(path, 1)
    databases.run_one(ledger)
    databases.run_one(ledger)
    last = databases.take(ledger)
    assert last is not None
    outcome = Outcome("failed", None, 1.0, reason="error", error="ValueError: no")
    return lambda: ledger.finish(last, outcome, steps(0.25))


def lose(path: Path) -> Callable[[], object]:
    ledger, held = _held(path)
    return lambda: ledger.lose(held, 3, LOST)


def give_up(path: Path) -> Callable[[], object]:
    ledger, held = _held(path)
    return lambda: ledger.lose(held, 1, LOST)


def release(path: Path) -> Callable[[], object]:
    ledger, held = _held(path)
    ledger.beat([(held, steps(0.25))])
    return lambda: ledger.release([held])


def create_study(path: Path) -> Callable[[], object]:
    engine = open_engine(url_of(path), "write")
    return lambda: databases.begun(engine, 3)


def raise_budget(path: Path) -> Callable[[], object]:
    engine = open_engine(url_of(path), "write")

    def operation() -> None:
        with writing(engine) as connection:
            study = studies.find_study(connection, 1)
            stage = studies.find_stage(connection, study, 1)
            studies.raise_budget(connection, study, stage, 5)

    return operation


def begin_use(path: Path) -> Callable[[], object]:
    return lambda: _begun_use(path)


def record_result(path: Path) -> Callable[[], object]:
    """Record the last result of a use, which finishes it."""
    engine, study = _begun_use(path)
    return lambda: _record_result(engine, study)


def _record_result(engine: Engine, study: Study) -> None:
    with writing(engine) as connection:
        test_uses.record_result(connection, study, 1, 0, Result(0.5, {"accuracy": 0.75}))


def _begun_use(path: Path, name: str | int = 1) -> tuple[Engine, Study]:
    engine = open_engine(url_of(path), "write")
    with writing(engine) as connection:
        study = studies.find_study(connection, name)
        stage = studies.find_stage(connection, study, 1)
        test_uses.begin_use(connection, study, stage, 0, PARAMS, 0.5, [7])
    return engine, study


def make(path: Path) -> Callable[[], object]:
    return lambda: databases.made(path)


def upgrade(path: Path) -> Callable[[], object]:
    engine = open_engine(url_of(path), "write")  # not closed: that is a write of its own
    return lambda: migrations.upgrade(engine)


def _held(path: str | Path, study: int = 1) -> tuple[Ledger, Claim]:
    _, ledger = stage_of(path, study)
    held = databases.take(ledger)
    assert held is not None
    return ledger, held


def die(operation: str, path: str, statement: int | str | None = None, byte: int = 0) -> int:
    """Do an operation in a process that ends in the middle of it; return its exit code.

    Args:
        operation: A function above: it prepares and returns what is to be done.
        path: The database.
        statement: The process kills itself before this statement, counted from 1. Or, if it is
            given by its text, the kernel kills the process in it.
        byte: The kernel does when so many bytes were added to the files.

    Returns:
        0 if it came to its end, where it ends like the killed: without closing anything.
    """
    # What operations import late, each fork would import anew.
    import alembic.command  # noqa: F401

    import hpo.definition_models  # noqa: F401

    pid = os.fork()
    if pid == 0:
        trap = _Trap(Path(path), statement, byte)
        prepared = globals()[operation](Path(path))
        trap.armed = True
        prepared()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class _Trap:
    """Sees every statement that SQLite begins, also those that open a file or end a transaction."""

    def __init__(self, path: Path, statement: int | str | None, byte: int) -> None:
        self.armed = False
        self._path, self._statement, self._byte = path, statement, byte
        self._seen = 0
        self._writes = True
        connect = sqlite3.connect

        def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(self._begins)
            return connection

        sqlite3.connect = watched  # type: ignore[assignment]

    def _begins(self, sql: str) -> None:
        if not self.armed:
            return
        self._seen += 1
        if self._seen == self._statement:
            os.kill(os.getpid(), signal.SIGKILL)
        if sql.startswith("BEGIN"):
            self._writes = sql == "BEGIN IMMEDIATE"
        if sql == self._statement and self._writes:
            self._limit_files()

    def _limit_files(self) -> None:
        # A write that crosses the limit stops there, the next one ends the process (setrlimit(2)):
        # a torn write, as no signal from outside could time it.
        wal = self._path.with_name(f"{self._path.name}-wal")
        size = wal.stat().st_size if wal.exists() else self._path.stat().st_size
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + self._byte, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it


# Clocks

_hours_ahead: Iterator[float] = itertools.repeat(0.0)
_held_slots: list[tuple[Ledger, Claim]] = []


def set_clock(zone: str, *hours: float) -> None:
    """Give this process a time zone, and a wall clock that is wrong.

    Args:
        zone: Name of a time zone.
        *hours: How far ahead the clock is; with several it jumps whenever it is read.
    """
    global _hours_ahead
    os.environ["TZ"] = zone
    time.tzset()
    _hours_ahead = itertools.cycle(hours)
    time.time = lambda: _TIME() + 3600 * next(_hours_ahead)
    for name, module in list(sys.modules.items()):
        if name.startswith("hpo.") and getattr(module, "datetime", None) is datetime:
            module.datetime = _WrongTime  # type: ignore[attr-defined]


_TIME = time.time


class _WrongTime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(hours=next(_hours_ahead))


def leases_at(path: str, study: int, now: float) -> list[float]:
    """Return the lease of a slot that is claimed and then beaten for, by a given steady clock."""
    steady, lease.time = lease.time, SimpleNamespace(monotonic=lambda: now)  # type: ignore
    try:
        ledger, held = _held(path, study)
        found = [_lease_of(path, held)]
        ledger.beat([(held, [])])
        found.append(_lease_of(path, held))
        ledger.finish(held, databases.COMPLETE, [])
    finally:
        lease.time = steady
    return found


def leave_marks_of_time(path: str, name: str) -> None:
    """Make a study, lose, give back and finish trials, and use its test set."""
    engine = open_engine(url_of(Path(path)), "write")
    ledger = ledger_of(engine, databases.started(engine, 2, name))
    held = databases.take(ledger)
    assert held is not None
    ledger.lose(held, 3, LOST)
    held = databases.take(ledger)
    assert held is not None
    ledger.release([held])
    while databases.run_one(ledger):
        pass
    _record_result(*_begun_use(Path(path), name))


def hold(path: str, study: int, lease_s: float) -> float:
    """Claim a slot with a short lease, which is returned."""
    usual, lease.LEASE_S = lease.LEASE_S, lease_s
    _held_slots.append(_held(path, study))
    lease.LEASE_S = usual
    return _lease_of(path, _held_slots[-1][1])


def finish_held() -> bool:
    """Return whether what was held could be finished."""
    ledger, held = _held_slots.pop()
    try:
        ledger.finish(held, databases.COMPLETE, [])
    except SlotTakenOver:
        return False
    return True


def take_over(path: str, study: int) -> tuple[int, float]:
    """Take a slot as soon as it is free; return how often it was not, and when it was."""
    _, ledger = stage_of(path, study)
    in_vain, late = 0, time.monotonic() + 30
    while (taken := databases.take(ledger)) is None:
        assert time.monotonic() < late, "the lease does not end"
        in_vain += 1
        time.sleep(0.01)
    now = time.monotonic()
    ledger.finish(taken, databases.COMPLETE, [])
    return in_vain, now


def run_command(lease_s: float, zone: str, hours: list[float], *arguments: str) -> None:
    """Run the command with short leases, in a time zone, and with a wrong wall clock."""
    import hpo.supervisor
    from hpo.cli import main

    lease.LEASE_S, hpo.supervisor.RECORD_EVERY_S = lease_s, lease_s / 8
    set_clock(zone, *hours)
    sys.argv = ["hpo", *arguments]
    main()


def _lease_of(path: str, held: Claim) -> float:
    ((found,),) = databases.sql(
        Path(path), "SELECT lease FROM hpo_slots WHERE id = ?", held.slot_id
    )
    return found
