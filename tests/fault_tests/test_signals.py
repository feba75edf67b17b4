"""Ctrl-C, a closed window, a shutdown, and limits of time and memory: what was done stays done.

Ctrl-C as such is tested with the command line; here it comes from a terminal, which sends it to
all processes of the command.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from commands import done, run
from databases import problems, slots_of, sql
from objectives.files import place
from processes import HPO, Child, eventually, run_hpo, start_hpo
from storm import Terminal, ended, families, workers_of

from hpo.store.lease import LEASE_S

pytestmark = pytest.mark.usefixtures("command_home")

DB = Path("hpo.db")


def patient(trials: int, **search: object) -> Path:
    """Return a definition whose trials go on until `let_go`."""
    return place(Path(), "patient", search={"trials": trials, **search})


def let_go() -> None:
    Path("go").touch()


def at_work(process: Child) -> list[int]:
    """Wait until two workers are in a trial."""
    process.until(lambda: len(list(Path().glob("worker-*"))) == 2)
    return workers_of(process)


def retried() -> list[tuple[int, int, str]]:
    """Return slot and number of each attempt that did not count, and why."""
    return sql(
        DB,
        "SELECT slot, r.attempt, r.reason FROM hpo_retries r JOIN hpo_slots ON id = slot_id "
        "ORDER BY slot, r.attempt",
    )


def given_back() -> None:
    """Make sure that the trials that ran were given back and nothing was counted."""
    assert slots_of(DB)[:2] == [(0, "open", 1), (1, "open", 1)]
    assert {state for _, state, _ in slots_of(DB)} == {"open"}
    assert retried() == [(0, 1, "cancelled"), (1, 1, "cancelled")]
    assert problems(DB) == []


def resumed(attempts: list[int]) -> None:
    """Finish the study; its trials are complete then, at these attempts."""
    done("resume", 1, "--workers", 2)
    assert slots_of(DB) == [(slot, "complete", attempt) for slot, attempt in enumerate(attempts)]
    assert problems(DB) == []


# From the terminal


def test_ctrl_c_in_a_terminal_is_for_the_supervisor_alone() -> None:
    with Terminal(HPO, "start", patient(6), "--workers", 2) as terminal:
        workers = at_work(terminal)
        terminal.type("\x03")
        terminal.shows("Finishing the running trials. Ctrl-C again stops at once.")
        assert not any(ended([worker]) for worker in workers)
        let_go()
        assert terminal.end() == 130
        assert "Stopped: 2 of 6 trials are counted. Go on with: hpo resume 1" in terminal.text()
    assert retried() == []
    assert problems(DB) == []
    resumed([1, 1, 1, 1, 1, 1])


def test_ctrl_c_twice_in_a_terminal_gives_the_trials_back() -> None:
    with Terminal(HPO, "start", patient(4), "--workers", 2) as terminal:
        workers = at_work(terminal)
        terminal.type("\x03")
        terminal.shows("Ctrl-C again stops at once.")
        terminal.type("\x03")
        assert terminal.end(within=5) == 130
        assert "Stopped: 0 of 4 trials are counted. Go on with: hpo resume 1" in terminal.text()
    assert ended(workers)
    given_back()


def test_a_closed_window_ends_the_study_as_sigterm_does() -> None:
    with Terminal(HPO, "start", patient(4), "--workers", 2) as terminal:
        workers = at_work(terminal)
        terminal.close()
        assert terminal.wait(5) == 143
    assert ended(workers)
    given_back()


def test_a_study_under_nohup_goes_on_without_its_window() -> None:
    with Terminal("/usr/bin/nohup", HPO, "start", patient(4), "--workers", 2) as terminal:
        at_work(terminal)
        terminal.close()
        closed = time.monotonic()
        leases = "SELECT coalesce(min(lease), 0) FROM hpo_slots"
        terminal.until(lambda: sql(DB, leases)[0][0] > closed + LEASE_S + 1)  # it has beaten since
        let_go()
        assert terminal.wait(30) == 0
    assert slots_of(DB) == [(slot, "complete", 1) for slot in range(4)]
    assert "Best" in Path("nohup.out").read_text()
    assert problems(DB) == []


# From other programs


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.soak)]
)
def test_a_request_to_end_does_not_wait_for_trials(number: signal.Signals) -> None:
    """One computes for ever, one waits for ever, and each has started other processes."""
    definition = place(
        Path(),
        "storm:family",
        space={"n": {"low": 0, "high": 1}},
        search={"sampler": "grid", "trials": 2},
    )
    with start_hpo("start", definition, "--workers", 2) as process:
        process.until(lambda: families(2))
        process.send_signal(number)
        _, told = process.communicate(timeout=5)
    assert process.returncode == 143
    assert ended(pid for family in families(2) for pid in family)
    assert told.endswith("Stopped: 0 of 2 trials are counted. Go on with: hpo resume 1\n")
    given_back()
    resumed([2, 2])


@pytest.mark.parametrize("first", ["the workers", "the supervisor"])
def test_a_shutdown_ends_everyone(first: str) -> None:
    """A machine that goes down, or `pkill hpo`, signals each process by itself."""
    with start_hpo("start", patient(4), "--workers", 2) as process:
        workers = at_work(process)
        everyone = [*workers, process.pid]
        for pid in everyone if first == "the workers" else reversed(everyone):
            os.kill(pid, signal.SIGTERM)
        _, told = process.communicate(timeout=5)
    assert process.returncode == 143, told
    assert told.endswith("Stopped: 0 of 4 trials are counted. Go on with: hpo resume 1\n")
    assert ended(workers)
    assert {state for _, state, _ in slots_of(DB)} == {"open"}
    assert {reason for *_, reason in retried()} == {"cancelled"}
    assert problems(DB) == []


def test_ctrl_c_in_the_last_trials_of_a_stage_begins_no_other() -> None:
    definition = place(
        Path(), "storm:lasting", fixed={"pause": 0, "most": 28}, search={"trials": 30}
    )
    with start_hpo("start", definition, "--workers", 2, "--stages", 2) as process:
        process.until(lambda: DB.exists() and has_a_study(process))
        process.until(lambda: [s for _, s, _ in slots_of(DB)].count("complete") == 28)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        Path("calm").touch()
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert [state for _, state, _ in slots_of(DB)] == ["complete"] * 30
    assert problems(DB) == []


@pytest.mark.parametrize(
    "ask",
    [[signal.SIGTERM], pytest.param([signal.SIGINT, signal.SIGINT], marks=pytest.mark.soak)],
)
def test_who_is_asked_to_stop_waits_for_no_lock(ask: list[signal.Signals]) -> None:
    """Its slots cannot be given back; but it is dead then, so they are free all the same."""
    with ExitStack() as stack:
        process = stack.enter_context(start_hpo("start", patient(2), "--workers", 2))
        at_work(process)
        other = stack.enter_context(closing(sqlite3.connect(DB, isolation_level=None)))
        other.execute("BEGIN IMMEDIATE")
        let_go()
        time.sleep(1)  # the results are in by now, and cannot be recorded
        assert process.poll() is None
        for number in ask:
            process.send_signal(number)
            time.sleep(0.2)
        _, told = process.communicate(timeout=5)
        other.execute("ROLLBACK")
    assert process.returncode == (143 if signal.SIGTERM in ask else 130)
    assert told.endswith("Stopped: 0 of 2 trials are counted. Go on with: hpo resume 1\n")
    assert [state for _, state, _ in slots_of(DB)] == ["running", "running"]
    assert problems(DB) == []
    resumed([2, 2])
    assert retried() == [(0, 1, "abandoned"), (1, 1, "abandoned")]


def imports(process: Child) -> bool:
    return workers_of(process) != []


def has_a_file(process: Child) -> bool:
    return DB.exists()


def has_a_study(process: Child) -> bool:
    made = "SELECT * FROM sqlite_master WHERE name = 'hpo_studies'"
    found = DB.exists() and sql(DB, made) and sql(DB, "SELECT * FROM hpo_studies")
    return bool(found)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (imports, signal.SIGTERM),
        (has_a_file, signal.SIGTERM),
        (has_a_study, signal.SIGINT),
        (has_a_study, signal.SIGHUP),
    ],
)
def test_a_signal_before_the_first_trial(
    moment: Callable[[Child], bool], number: signal.Signals
) -> None:
    definition = patient(4)
    with start_hpo("start", definition, "--workers", 2) as process:
        deadline = time.monotonic() + 30
        while not moment(process):  # without a pause: some moments are short
            assert time.monotonic() < deadline
        workers = workers_of(process)
        process.send_signal(number)
        let_go()  # on a slow machine a trial has begun by now
        _, told = process.communicate(timeout=10)
    assert process.returncode in ((130,) if number == signal.SIGINT else (-number, 143)), told
    assert "Traceback" not in told
    assert len(workers) in (1, 2)
    eventually(lambda: ended(workers), within=5)
    if moment is has_a_study:
        assert problems(DB) == []
        resumed([attempt + (state == "open") for _, state, attempt in slots_of(DB)])
    else:
        if DB.exists() and DB.stat().st_size == 0:  # ended between making and filling it
            assert "is empty (0 bytes), not a database" in run("start", definition).stderr
            for file in Path().glob("hpo.db*"):
                file.unlink()  # as it says
        done("start", definition)
        assert problems(DB) == []


# Limits


def test_the_time_is_over() -> None:
    process = run_hpo("start", patient(4), "--workers", 2, "--timeout", 1)
    assert process.returncode == 0
    assert process.stderr.endswith(
        "The time is over: 0 of 4 trials are counted. Go on with: hpo resume 1\n"
    )
    begun = [slot for slot, _, attempt in slots_of(DB) if attempt > 0]
    assert begun != []
    assert retried() == [(slot, 1, "cancelled") for slot in begun]
    assert problems(DB) == []
    let_go()
    resumed([attempt + 1 for _, _, attempt in slots_of(DB)])


def test_the_time_is_that_of_all_stages_together() -> None:
    definition = place(Path(), fixed={"pause": 0.05}, search={"trials": 30})
    began = time.monotonic()
    process = run_hpo("start", definition, "--workers", 2, "--stages", 9, "--timeout", 3)
    assert process.returncode == 0, process.stderr
    assert time.monotonic() - began < 9 * 30 * 3 * 0.05 / 2  # what the trials alone would take
    assert "The time is over" in process.stderr
    assert "open" in {state for _, state, _ in slots_of(DB)}


TOO_LONG = "trial_timeout", 1.5, 0, "timeout", r"stopped after [\d.]+ s, its time limit"
TOO_MUCH = "trial_memory", "300MB", 10**9, "memory", "stopped: it took more memory than its limit.*"


@pytest.mark.parametrize(
    ("key", "limit", "size", "reason", "told"), [TOO_LONG, TOO_MUCH], ids=["time", "memory"]
)
@pytest.mark.parametrize("where", ["option", "definition"])
def test_a_trial_that_takes_too_much_fails_and_the_others_do_not(
    key: str, limit: float | str, size: int, reason: str, told: str, where: str
) -> None:
    by_option = where == "option"
    options = (f"--{key.replace('_', '-')}", limit) if by_option else ()
    limits = {} if by_option else {key: limit}
    definition = place(
        Path(),
        "storm:uneven",
        space={"n": {"low": 0, "high": 3}},
        fixed={"bytes": size},
        search={"sampler": "grid", "trials": 4, **limits},
    )
    process = run_hpo("start", definition, "--workers", 2, *options)
    assert process.returncode == 0, process.stderr
    assert slots_of(DB, "state, attempt, reason") == [
        ("complete", 1, None),
        ("failed", 1, reason),
        ("complete", 1, None),
        ("complete", 1, None),
    ]
    assert re.search(f"trial 1 failed: {told}\n", process.stderr)
    assert "! Of 4 trials, 1 failed." in process.stderr
    assert problems(DB) == []


def test_limits_of_a_resume_hold_for_that_run_only() -> None:
    let_go()
    done("start", patient(1), "--workers", 1)
    Path("go").unlink()
    done("resume", 1, "--trials", 2, "--trial-timeout", 0.5)
    done("resume", 1, "--trials", 3, "--trial-memory", "1MB")
    with start_hpo("resume", 1, "--trials", 4) as process:
        latest = "SELECT coalesce(max(seconds), 0) FROM hpo_curves WHERE slot_id = 4"
        process.until(lambda: sql(DB, latest)[0][0] > 1)
        let_go()
        process.answer()
    assert slots_of(DB, "state, reason") == [
        ("complete", None),
        ("failed", "timeout"),
        ("failed", "memory"),
        ("complete", None),
    ]
    assert problems(DB) == []
