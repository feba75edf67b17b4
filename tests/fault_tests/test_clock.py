"""Wrong clocks: leases run by the steady clock of the host, and every stored time is UTC."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import ledger_children as children
import pytest
from databases import problems, slots_of, sql, started
from ledger_children import all_at_once, ask, told
from objectives.files import place
from processes import Child, start_call

ZONES = ("UTC", "Asia/Tokyo", "America/New_York")
CLOCKS: dict[str, tuple[float, ...]] = {
    "right": (0,),
    "ahead": (1,),
    "behind": (-1,),
    "jumping": (1, -1),
}
"""Hours ahead; with two it jumps at each look."""

TIMES = {
    "created_at",
    "begun_at",
    "finished_at",
    "ended_at",
    "datetime_start",
    "datetime_complete",
}


@pytest.fixture(scope="module")
def crew() -> Iterator[list[Child]]:
    """A process in each of the time zones."""
    with ExitStack() as stack:
        children_ = [start_call(children.serve) for _ in ZONES]
        yield [stack.enter_context(child) for child in children_]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hpo.db"


def set_clocks(crew: list[Child], *hours: float) -> None:
    for child, zone in zip(crew, ZONES, strict=True):
        ask(child, children.set_clock, zone, *hours)
        told(child)


def stored_times(path: Path) -> dict[str, list[datetime]]:
    """Return every stored time by its column; one of ours without a zone stays without."""
    found: dict[str, list[datetime]] = {}
    for (table,) in sql(path, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = {column for _, column, *_ in sql(path, f"PRAGMA table_info({table})")}
        for column in columns & TIMES:
            rows = sql(path, f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
            read = utc if table == "trials" else datetime.fromisoformat
            times = [read(text) for (text,) in rows]
            found[f"{table}.{column}"] = times
    return found


def test_times_are_stored_in_utc_from_any_zone(crew: list[Child], path: Path) -> None:
    databases.new(path)
    set_clocks(crew, 0)
    began = datetime.now(UTC)
    for child, zone in zip(crew, ZONES, strict=True):
        ask(child, children.leave_marks_of_time, path, zone)
        told(child)
    ended = datetime.now(UTC)
    found = stored_times(path)
    assert {name: len(times) for name, times in found.items()} == {
        "hpo_studies.created_at": 3,
        "hpo_stages.created_at": 3,
        "hpo_stages.finished_at": 3,
        "hpo_retries.ended_at": 6,
        "hpo_test_uses.begun_at": 3,
        "hpo_test_uses.finished_at": 3,
        "trials.datetime_start": 6,
        "trials.datetime_complete": 6,
    }
    for times in found.values():
        assert all(moment.utcoffset() == timedelta(0) for moment in times)
        assert all(began <= moment <= ended for moment in times)
    assert problems(path) == []


def test_a_lease_does_not_depend_on_the_wall_clock(crew: list[Child], path: Path) -> None:
    engine = databases.new(path)
    for study, (name, hours) in enumerate(CLOCKS.items(), 1):
        started(engine, 3, name)
        set_clocks(crew, *hours)
        now = datetime.now(UTC)
        assert all_at_once(crew, children.leases_at, path, study, 1000.0) == [[1060.0, 1060.0]] * 3
        shown = sql(
            path, "SELECT datetime_start, datetime_complete FROM trials WHERE study_id = ?", study
        )
        wrong = {hours_between(now, utc(text)) for row in shown for text in row}
        assert wrong == set(hours), "the clock was not as wrong as it was meant to be"
    assert problems(path) == []


def utc(text: str) -> datetime:
    """Return a time that Optuna stored: in UTC, and it does not say so."""
    found = datetime.fromisoformat(text)
    assert found.tzinfo is None
    return found.replace(tzinfo=UTC)


def hours_between(first: datetime, second: datetime) -> int:
    return round((second - first) / timedelta(hours=1))


@pytest.mark.parametrize(
    ("mine", "theirs"), [("ahead", "behind"), ("behind", "ahead"), ("jumping", "jumping")]
)
def test_a_slot_is_taken_over_when_its_lease_ends(
    mine: str, theirs: str, crew: list[Child], path: Path
) -> None:
    started(databases.new(path), 1)
    paused, _, other = crew
    for child, zone, clock in ((paused, "Asia/Tokyo", mine), (other, "America/New_York", theirs)):
        ask(child, children.set_clock, zone, *CLOCKS[clock])
        told(child)
    ask(paused, children.hold, path, 1, 0.5)
    end = told(paused)
    os.kill(paused.pid, signal.SIGSTOP)
    try:
        ask(other, children.take_over, path, 1)
        in_vain, taken = told(other)
    finally:
        os.kill(paused.pid, signal.SIGCONT)
    assert in_vain > 0, "it was free at once: nobody waited for the lease to end"
    assert taken > end
    ask(paused, children.finish_held)
    assert told(paused) is False
    assert slots_of(path) == [(0, "complete", 2)]
    assert sql(path, "SELECT reason FROM hpo_retries") == [("expired",)]
    assert problems(path) == []


def test_supervisors_whose_clocks_jump_take_nothing_from_each_other(tmp_path: Path) -> None:
    """Three work on a trial each; each has a second worker that wants the others' slots."""
    lease_s, path, url = 2.0, tmp_path / "hpo.db", databases.url_of(tmp_path / "hpo.db")
    place(tmp_path, "patient", name="s", metric="score", search={"trials": 3})
    wanted = ("--storage", url, "--workers", "2", "--json")

    def leases() -> list[float]:
        """Return the leases of the slots that run, none of which may last longer than it should."""
        found = [end for (end,) in slots_of(path, "lease") if end is not None]
        assert all(end <= time.monotonic() + lease_s for end in found)
        return found

    def command(number: int, clock: str, *arguments: str) -> Child:
        zone, hours = ZONES[number], CLOCKS[clock]
        return start_call(children.run_command, lease_s, zone, hours, *arguments, *wanted)

    with ExitStack() as stack:
        first = stack.enter_context(command(0, "jumping", "start", str(tmp_path / "my.toml")))
        first.until(lambda: list(tmp_path.glob("worker-*")))
        others = [command(1, "ahead", "resume", "1"), command(2, "behind", "resume", "1")]
        for other in others:
            stack.enter_context(other)
        first.until(lambda: len(leases()) == 3)
        begun = max(leases())
        first.until(lambda: min(leases()) > begun + lease_s)
        (tmp_path / "go").touch()
        for supervisor in (first, *others):
            assert '"open": 0' in supervisor.answer()
    assert slots_of(path) == [(slot, "complete", 1) for slot in range(3)]
    assert sql(path, "SELECT * FROM hpo_retries") == []
    now = datetime.now(UTC)
    started_at = stored_times(path)["trials.datetime_start"]
    assert {abs(hours_between(now, moment)) for moment in started_at} == {1}, "no clock was wrong"
    assert problems(path) == []
