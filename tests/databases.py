"""Databases with studies in them, made without a worker; and what other processes do to them."""

import atexit
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from processes import ready
from sqlalchemy import Engine, event

from hpo.definition import parse_definition
from hpo.store import migrations, studies
from hpo.store.attempt import Claim, Outcome, Step
from hpo.store.check import check
from hpo.store.engine import open_engine, writing
from hpo.store.ledger import Ledger
from hpo.study import Stage, Study

SPACE = {
    "x": {"low": 1e-6, "high": 1e-2, "log": True},
    "n": {"low": 1, "high": 9},
    "kind": {"choices": ["a", "b"]},
}
PARAMS = {"x": 1e-3, "n": 4, "kind": "b"}


def url_of(path: Path) -> str:
    return f"sqlite:///{quote(str(path))}"


def new(path: Path) -> Engine:
    """Open a database; one that is not there is the copy of an empty one, which is made once."""
    if not path.exists():
        shutil.copy(_empty(), path)
    return made(path)


@cache
def _empty() -> Path:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    path = Path(folder, "hpo.db")
    made(path).dispose()
    return path


def made(path: Path) -> Engine:
    """Open a database, and make it if it is not there."""
    engine = open_engine(url_of(path), "create")
    migrations.prepare(engine)
    return engine


def started(engine: Engine, budget: int = 5, name: str = "s", seeds: int = 1) -> Stage:
    """Create a study with one stage."""
    return begun(engine, budget, name, seeds)[1]


def begun(engine: Engine, budget: int = 5, name: str = "s", seeds: int = 1) -> tuple[Study, Stage]:
    definition = parse_definition(
        {
            "objective": "tiny:hill",
            "metric": "score",
            "direction": "maximize",
            "space": SPACE,
            "search": {"trials": budget, "seeds": seeds},
        },
        default_name="s",
    )
    with writing(engine) as connection:
        study = studies.create_study(connection, definition, name, None, {})
        stage = studies.create_stage(
            connection,
            study,
            parent=None,
            kind="start",
            space=definition.space,
            evidence=None,
            sampler="random",
            budget=budget,
            seeds=seeds,
        )
    return study, stage


def ledger_of(engine: Engine, stage: Stage) -> Ledger:
    return Ledger(engine, stage, "score")


def steps(*scores: float) -> list[Step]:
    return [Step(i, i / 10, {"score": score, "half": score / 2}) for i, score in enumerate(scores)]


COMPLETE = Outcome("complete", 0.5, 1.25)
LOST = Outcome("failed", None, 2.5, reason="lost", error="the worker ended: SIGKILL")


def take(ledger: Ledger) -> Claim | None:
    """Claim the next open slot, as the supervisor does."""
    while opening := ledger.next_open():
        params = PARAMS if opening.params is None else opening.params
        if claim := ledger.claim(opening.slot, params, seed=opening.slot):
            return claim
    return None


def run_one(ledger: Ledger, outcome: Outcome = COMPLETE) -> Claim | None:
    """Claim a slot and finish it at once."""
    claim = take(ledger)
    if claim is not None:
        ledger.finish(claim, outcome, steps(0.25, 0.5))
    return claim


def the_stage(engine: Engine) -> Stage:
    with writing(engine) as connection:
        return studies.find_stage(connection, studies.find_study(connection, 1), 1)


def sql(path: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement of another program, with the driver alone."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def slots_of(path: Path, columns: str = "slot, state, attempt") -> list[tuple[Any, ...]]:
    return sql(path, f"SELECT {columns} FROM hpo_slots ORDER BY slot")


def problems(path: Path) -> list[str]:
    return check(url_of(path))


# What runs in other processes


def prepare(path: str) -> None:
    engine = open_engine(url_of(Path(path)), "create") if Path(path).exists() else None
    ready()
    migrations.prepare(engine or open_engine(url_of(Path(path)), "create"))


def work(path: str, release_every: int) -> None:
    """Run slots of stage 1 until none is open; give every so many back once."""
    engine = open_engine(url_of(Path(path)), "write")
    stage = the_stage(engine)
    ledger = ledger_of(engine, stage)
    ready()
    done: list[tuple[int, int]] = []
    while (claim := take(ledger)) is not None:
        ledger.beat([(claim, steps(0.25))])
        if claim.attempt == 1 and claim.slot % release_every == 0:
            ledger.release([claim])
            continue
        ledger.finish(claim, Outcome("complete", float(claim.slot), 0.1), [])
        done.append((claim.slot, claim.attempt))
    print(json.dumps(done))


def claim_and_wait(path: str) -> None:
    """Hold a slot until the test says go."""
    engine = open_engine(url_of(Path(path)), "write")
    stage = the_stage(engine)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    assert claim is not None
    ledger.beat([(claim, steps(0.25))])
    ready()


def die_in_finish(path: str, statement: int) -> None:
    """Claim a slot and end the process in the middle of `finish`, before its n-th statement."""
    engine = open_engine(url_of(Path(path)), "write")
    stage = the_stage(engine)
    ledger = ledger_of(engine, stage)
    claim = take(ledger)
    assert claim is not None
    seen = 0

    @event.listens_for(engine, "before_cursor_execute")
    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os._exit(9)

    outcome = Outcome("complete", 0.75, 1.0, diverged_at=2)
    ledger.finish(claim, outcome, steps(0.25, 0.5))


def write_for_ever(path: str) -> None:
    """Run slots until there are none; say so once the first is done."""
    engine = open_engine(url_of(Path(path)), "write")
    stage = the_stage(engine)
    ledger = ledger_of(engine, stage)
    run_one(ledger)
    ready()
    while run_one(ledger) is not None:
        pass


def owner_name() -> None:
    """Print the owner's name of this process, then wait."""
    from hpo.store import owner

    print(owner.new(), flush=True)
    sys.stdin.readline()


def as_nobody(path: str, mode: str) -> None:
    """Try to use a file as a user whom it does not belong to; print the error."""
    from hpo.errors import DatabaseError

    if os.geteuid() == 0:
        os.setuid(65534)  # permissions do not stop root
    try:
        engine = open_engine(url_of(Path(path)), mode)  # type: ignore[arg-type]
        if mode == "read":
            migrations.check(engine)
            return
        if mode == "create":
            migrations.prepare(engine)
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE t (x)")
    except DatabaseError as error:
        print(error)
