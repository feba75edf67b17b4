"""The stock dashboard and ours, open on a database in which studies run.

Both are real servers, asked as their page asks them. Ours only looks. The stock one can do things
to a study that hpo can neither forbid nor prevent; what is kept then, and what is said:

* Rename copies the Optuna study under another id, trial by trial, and deletes the old one. Kept are
  parameters, scores, curves, notes and user attributes; not its system attributes (Optuna's name of
  the metric). What was finished while it was copied is not in the copy: `hpo db check` tells until
  the next write of the run, or `hpo resume`, lets it run again, to the same result.
* Delete takes parameters and scores away; slots and learning curves stay. The run stops, the study
  can be looked at, not be resumed, and `hpo db check` tells for ever.
* A trial that a person ends there ("tell") is over: it counts as they said.
"""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import databases
import pytest
from commands import done, run
from dashboards import Answer, Page, Server
from databases import problems, sql, url_of
from objectives.files import place
from processes import HPO, Child, eventually, start_hpo
from storm import state

import hpo
from hpo import overview
from hpo.trial import Trial


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a database, in which there is a study that nobody touches."""
    home = tmp_path_factory.mktemp("home")
    engine = databases.new(home / "hpo.db")
    ledger = databases.ledger_of(engine, databases.started(engine, 3, "other"))
    while databases.run_one(ledger):
        pass
    engine.dispose()
    return home


@pytest.fixture(autouse=True)
def path(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in that folder; whatever happens, the other study must stay as it was."""
    monkeypatch.chdir(home)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    before = said("other")
    yield home / "hpo.db"
    assert said("other") == before


def said(study: str) -> list[str]:
    curves = done("report", study, "--curves", "--format", "json")
    return [done("report", study, "--format", "json").stdout, curves.stdout]


@pytest.fixture(scope="module")
def servers(home: Path) -> Iterator[list[Server]]:
    """Serve the database as `optuna-dashboard` does, and as `hpo dashboard` does."""
    url, logs = url_of(home / "hpo.db"), [home / "stock.log", home / "ours.log"]
    commands = [
        [HPO.with_name("optuna-dashboard"), url, "--server", "wsgiref"],
        [HPO, "dashboard", "--storage", url],
    ]
    started = []
    with ExitStack() as stack:
        for command, log in zip(commands, logs, strict=True):
            port = free_port()
            words = [*map(str, command), "--port", str(port)]
            process = Child(words, stderr=stack.enter_context(log.open("w")), text=True)
            stack.enter_context(process)
            started.append(Server(process, f"http://127.0.0.1:{port}"))
        for server in started:
            server.process.until(server.listens)
        yield started
    for log in logs:
        assert "locked" not in log.read_text()
        assert "Exception" not in log.read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stock(servers: list[Server]) -> Server:
    return servers[0]


@pytest.fixture
def ours(servers: list[Server]) -> Server:
    return servers[1]


def slots(study: str, columns: str = "slot, state, attempt") -> list[tuple[Any, ...]]:
    return sql(
        Path("hpo.db"),
        f"SELECT {columns} FROM hpo_slots JOIN hpo_stages g ON g.id = stage_id "
        "JOIN hpo_studies s ON s.id = g.study_id WHERE s.name = ? ORDER BY g.id, slot",
        study,
    )


def counted(study: str) -> int:
    return sum(state in ("complete", "failed") for _, state, _ in slots(study))


def findings(study: str) -> list[str]:
    """Return what is wrong with a study, or with the database as a whole."""
    ours = f"study {overview.show(study).study.id}, "
    found = problems(Path("hpo.db"))
    return [each for each in found if each.startswith(ours) or not re.match(r"study \d+,", each)]


# Looking


def test_open_pages_and_a_run_do_not_disturb_each_other(
    home: Path, path: Path, servers: list[Server]
) -> None:
    definition = place(home, "hill", name="looked", search={"trials": 12}, fixed={"pause": 0.1})
    with ExitStack() as stack:
        pages = [stack.enter_context(Page(server, "looked/1")) for server in servers]
        study = stack.enter_context(start_hpo("start", definition, "--workers", 2))
        study.answer()
        eventually(lambda: all(page.complete() == 12 for page in pages))
    for page in pages:
        assert set(page.answers) == {200}
        assert page.answers[200] > 10
    assert counted("looked") == 12
    assert findings("looked") == []


# Rename


@pytest.mark.soak
def test_a_study_that_was_renamed_goes_on(path: Path, home: Path, stock: Server) -> None:
    done("start", place(home, "hill", name="idle", search={"trials": 30}), "--workers", 2)
    study, before = stock.study("idle/1"), said("idle")
    trial = stock.trials("idle/1")[7]["trial_id"]
    # The study has a note already, ours; the trial has none.
    for route, version in ((f"{study}/note", 2), (f"{study}/{trial}/note", 1)):
        note = {"body": "mine", "version": version}
        assert stock.ask("PUT", f"/api/studies/{route}", **note).status == 204
    assert stock.rename("idle/1", "other name").status == 201
    assert findings("idle") == []
    assert said("idle") == before
    renamed = stock.study("other name")
    assert renamed != study
    assert stock.ask("GET", f"/api/studies/{renamed}").body["note"]["body"] == "mine"
    assert stock.trials("other name")[7]["note"]["body"] == "mine"
    done("resume", "idle", "--trials", 32, "--workers", 2)
    done("narrow", "idle", "--trials", 4, "--workers", 2)
    assert counted("idle") == 36
    eventually(lambda: len(stock.trials("other name")) == 32)
    eventually(lambda: len(stock.trials("idle/2")) == 4)
    assert findings("idle") == []


@pytest.mark.parametrize(
    "ends", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["goes on", "ends meanwhile"]
)
def test_a_study_that_is_renamed_while_it_runs_loses_nothing(
    ends: bool, path: Path, home: Path, stock: Server
) -> None:
    name, budget = f"busy-{ends}", 60
    folder = home / f"of-{name}"
    folder.mkdir()
    go = folder / "go"
    go.touch()
    options = {"search": {"trials": budget}, "fixed": {"pause": 0.02}}
    definition = place(folder, "patient", **options)
    with start_hpo("start", definition, "--name", name, "--workers", 2) as study:
        study.until(lambda: counted(name) >= 30)
        with stopped_while_it_copies(stock, f"{name}/1", f"new {name}") as renaming:
            seen = counted(name)
            eventually(lambda: counted(name) >= (budget if ends else seen + 4))
            assert counted(name) - seen >= 4
            if ends:
                study.answer()
            else:
                go.unlink()
        assert renaming.result().status == 201
        if not ends:
            go.touch()
            study.answer()
    if ends:
        lost = f"stage 1: slot {budget - 1} is complete and has no trial"
        assert any(found.endswith(lost) for found in findings(name))
        assert "stage 1 is open: " in run("narrow", name).stderr
        done("resume", name, "--workers", 2)
    assert counted(name) == budget
    assert findings(name) == []
    assert sum("copied" in trial.retried for trial in trials(name)) >= 4
    done("start", place(folder, "patient", search={"trials": budget}), "--name", f"calm-{ends}")
    assert results(name) == results(f"calm-{ends}")


def trials(study: str) -> Sequence[Trial]:
    (found,) = overview.show(study).trials
    return found


def results(study: str) -> tuple[Any, Any]:
    """Return what a study came to, without what `patient` reports while it waits."""
    curves = hpo.curves(study).query("step >= 100_000")[["trial", "step", "score", "half"]]
    found = [(t.number, t.state, t.params, t.seed, t.value) for t in trials(study)]
    return found, curves.to_dict("records")


@contextmanager
def stopped_while_it_copies(server: Server, name: str, new_name: str) -> Iterator[Future[Answer]]:
    """Rename a study; the block happens while its trials are read and not all are written."""
    with ThreadPoolExecutor() as pool:
        renaming = pool.submit(server.rename, name, new_name)
        copied = "SELECT 1 FROM trials NATURAL JOIN studies WHERE study_name = ?"
        try:
            server.process.until(lambda: sql(Path("hpo.db"), copied, new_name))
            while not stopped_without_lock(server.process):
                server.process.send_signal(signal.SIGCONT)
            assert not renaming.done(), "it was too fast"
            yield renaming
        finally:
            server.process.send_signal(signal.SIGCONT)


def stopped_without_lock(process: Child) -> bool:
    """Stop a process; return whether others can write now."""
    process.send_signal(signal.SIGSTOP)
    process.until(lambda: state(process.pid) == "T")
    with closing(sqlite3.connect("hpo.db", timeout=0.1)) as probe:
        try:
            probe.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


# What a person says of a trial


@contextmanager
def patient(home: Path, name: str, **keys: Any) -> Iterator[Child]:
    """Run a study of four trials; the first two have begun, and end when the file `go` is there."""
    folder = home / f"of-{name}"
    folder.mkdir()
    definition = place(folder, "patient", name=name, search={"trials": 4}, **keys)
    with start_hpo("start", definition, "--workers", 2, folder=home) as study:
        study.until(lambda: len(list(folder.glob("worker-*"))) == 2)
        yield study


def test_what_a_person_writes_beside_a_running_trial_is_kept(
    path: Path, home: Path, stock: Server, ours: Server
) -> None:
    with patient(home, "noted") as study:
        stage, trial = stock.study("noted/1"), stock.trials("noted/1")[0]["trial_id"]
        for server in (stock, ours):
            why = server.ask("GET", f"/api/studies/{stage}").body["note"]
            assert why["body"].startswith("### Stage 1 of study ")
        for method, route, body in (
            ("PUT", f"/api/studies/{stage}/note", {"body": "of all", "version": 2}),
            ("PUT", f"/api/studies/{stage}/{trial}/note", {"body": "of one", "version": 1}),
            ("POST", f"/api/trials/{trial}/user-attrs", {"user_attrs": {"looks": "odd"}}),
        ):
            assert ours.ask(method, route, **body).status == 403
            assert stock.ask(method, route, **body).status == 204
        (home / "of-noted/go").touch()
        study.answer()
    assert counted("noted") == 4
    eventually(lambda: {t["state"] for t in stock.trials("noted/1")} == {"Complete"})
    first = stock.trials("noted/1")[0]
    assert first["note"]["body"] == "of one"
    assert stock.ask("GET", f"/api/studies/{stage}").body["note"]["body"] == "of all"
    assert first["user_attrs"] == [{"key": "looks", "value": "odd"}]
    assert findings("noted") == []


def test_a_running_trial_that_a_person_ends_is_counted_as_they_said(
    path: Path, home: Path, stock: Server
) -> None:
    with patient(home, "told") as study:
        first, second = (trial["trial_id"] for trial in stock.trials("told/1")[:2])
        said = ("Complete", [0.125]), ("Fail", None)
        for trial, (state, values) in zip((first, second), said, strict=True):
            answer = stock.ask("POST", f"/api/trials/{trial}/tell", state=state, values=values)
            assert answer.status == 204
        (home / "of-told/go").touch()
        study.answer()
    assert slots("told", "state, reason") == [
        ("complete", "told"), ("failed", "told"), ("complete", None), ("complete", None),
    ]  # fmt: skip
    assert trials("told")[0].value == 0.125
    said = "ended by a person or another program, which gave their score: trials 0, 1\n"
    assert said in done("show", "told").stdout
    assert findings("told") == []


# Delete


def test_a_study_that_was_deleted_leads_nowhere(
    path: Path, home: Path, stock: Server, ours: Server
) -> None:
    definition = place(home, "hill", search={"trials": 12})
    done("start", definition, "--name", "gone", "--workers", 2)
    curves, deleted = said("gone")[1], stock.study("gone/1")
    assert len(ours.trials("gone/1")) == len(stock.trials("gone/1")) == 12
    assert stock.ask("DELETE", f"/api/studies/{deleted}").status == 204
    look_at_what_is_left("gone")
    assert said("gone")[1] == curves
    before = slots("gone", "slot, state, attempt, error, seconds")
    for command in (
        "resume gone",
        "resume gone --trials 15",
        "narrow gone --range x=1e-4:1e-3 --trials 4",
        "replay gone 1/0",
    ):
        refused = run(*command.split())
        assert refused.exit_code == 1, command
        assert "gone/1" in refused.stderr, command
        assert "was deleted" in refused.stderr, command
    assert slots("gone", "slot, state, attempt, error, seconds") == before
    # The next study gets the ids of the deleted one.
    report = said("gone")
    done("start", place(home, "hill", search={"trials": 6}), "--name", "next", "--workers", 2)
    assert stock.study("next/1") == deleted
    assert said("gone") == report
    assert run("resume", "gone").exit_code == 1
    assert counted("next") == 6
    for server in (ours, stock):
        eventually(lambda server=server: len(server.trials("next/1")) == 6)
    assert findings("next") == []


def look_at_what_is_left(study: str) -> None:
    for command in ("show", "best", "report"):
        shown = done(command, study)
        assert f"{study}/1" in shown.stdout + shown.stderr, command
        assert "was deleted" in shown.stdout + shown.stderr, command
    assert study in done("list").stdout
    (found,) = findings(study)
    assert found.endswith(f"stage 1: its Optuna study {study}/1 is gone")


def test_a_study_that_is_deleted_while_it_runs_stops(path: Path, home: Path, stock: Server) -> None:
    with patient(home, "stopped") as study:
        deleted = stock.ask("DELETE", f"/api/studies/{stock.study('stopped/1')}")
        assert deleted.status == 204
        errors = study.communicate(timeout=60)[1]
    assert study.returncode == 1
    assert errors.splitlines()[-1] == (
        "Error: The Optuna study stopped/1 of this stage was deleted. "
        "Start a new study: hpo start DEFINITION"
    )
    assert slots("stopped") == [(0, "open", 1), (1, "open", 1), (2, "open", 0), (3, "open", 0)]
    look_at_what_is_left("stopped")
