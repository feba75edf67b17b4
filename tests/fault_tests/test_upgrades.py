"""Databases that older versions of hpo and Optuna made: refused with the way on, then kept whole.

They are stored as SQL, see `tests/fixtures`.
"""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import ledger_children
import optuna
import pytest
from commands import done, run
from databases import problems, sql, url_of
from ledger_children import ask, told
from processes import Child, run_hpo, start_call

from hpo.store import lease, migrations, owner

FIXTURES = Path(__file__).parents[1] / "fixtures"
OLDER = ["0001", "0002", "0003"]
"""The revisions of our tables that were ever released or used."""

SAID = {revision: json.loads((FIXTURES / f"{revision}.json").read_text()) for revision in OLDER}
"""What `show`, `report` and `report --curves` of that time said, by study."""

for of_revision in SAID.values():
    for of_study in of_revision.values():
        del of_study["show"]["best"]  # no record: it is thought of anew


def restored(name: str, folder: Path) -> Path:
    """Make the database of a dump, and put the objective of its studies beside it."""
    path = folder / "hpo.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FIXTURES / f"{name}.sql").read_text())
    shutil.copy(FIXTURES / "aged.py", folder)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    return tmp_path


# The oldest and the newest; `make soak` takes those between them, too.
@pytest.fixture(
    params=[OLDER[0], *(pytest.param(r, marks=pytest.mark.soak) for r in OLDER[1:-1]), OLDER[-1]]
)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(revision: str, home: Path) -> Path:
    """Return an old database."""
    return restored(revision, home)


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table."""
    names = sql(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]
            for (name,) in names
        }


def shared(now: Any, then: Any) -> Any:
    """Return what is said now, without the keys that nobody knew then."""
    if isinstance(then, dict):
        return {key: shared(now[key], value) for key, value in then.items()}
    if isinstance(then, list):
        assert len(now) == len(then)
        return [shared(new, old) for new, old in zip(now, then, strict=True)]
    return now


def said(study: str) -> dict[str, Any]:
    """Return what is in `SAID`, as the commands say it now."""
    return {
        "show": json.loads(done("show", study, "--json").stdout),
        "report": json.loads(done("report", study, "--format", "json").stdout),
        "curves": json.loads(done("report", study, "--curves", "--format", "json").stdout),
    }


# Our tables, of an older revision


@pytest.mark.parametrize(
    "command",
    [
        "start my.toml",
        "narrow 1",
        "narrow 1 --dry-run",
        "resume 1",
        "replay 1 1/0",
        "final 1",
        "list",
        "show 1",
        "best 1",
        "report 1",
        "report 1 --curves",
        "plot 1",
        "db check",
    ],
)
def test_no_command_uses_an_older_database(command: str, path: Path, revision: str) -> None:
    (path.parent / "my.toml").write_text(
        'objective = "aged:train"\ndirection = "maximize"\n[space]\nx = { low = 0, high = 1 }\n'
    )
    before = dump(path)
    result = run(*command.split())
    assert result.exit_code == 3
    assert result.stderr == (
        f"Error: hpo.db has revision {revision} of the tables, this hpo needs {migrations.HEAD}. "
        "Run: hpo db upgrade\n"
    )
    assert result.stdout == ""
    assert dump(path) == before


def test_what_an_older_database_is_and_a_copy_of_it(path: Path, revision: str) -> None:
    status = json.loads(done("db", "status", "--json").stdout)
    assert (status["revision"], status["newest_revision"]) == (revision, migrations.HEAD)
    done("db", "backup", "copy.db")
    assert dump(path.with_name("copy.db")) == dump(path)


def test_an_upgrade_keeps_everything(path: Path, revision: str) -> None:
    before = rows(path)
    assert done("db", "upgrade").stdout == (
        f"The database went from {revision} to {migrations.HEAD}.\n"
    )
    assert problems(path) == []
    after = rows(path)
    assert after.pop(migrations.VERSION_TABLE) == [{"version_num": migrations.HEAD}]
    del before[migrations.VERSION_TABLE]
    for table, then in before.items():
        now = after[table]
        columns = set(then[0]) & set(now[0]) if then else set()
        assert len(columns) >= len(then[0]) - 1 if then else now == []
        assert [{c: row[c] for c in columns} for row in now] == [
            {c: row[c] for c in columns} for row in then
        ]
    for study, then in SAID[revision].items():
        assert shared(said(study), then) == then
    assert done("db", "upgrade").stdout == (
        f"The database is at revision {migrations.HEAD} already.\n"
    )


def test_every_attempt_that_did_not_count_is_written_down(path: Path) -> None:
    done("db", "upgrade")
    attempts = sql(path, "SELECT id, attempt - (state != 'open') FROM hpo_slots")
    expected = {(slot, n) for slot, last in attempts for n in range(1, last + 1)}
    assert len(expected) > 3
    assert set(sql(path, "SELECT slot_id, attempt FROM hpo_retries")) == expected


def test_the_losses_of_a_slot_still_count(home: Path) -> None:
    """Else a trial that kills its workers would have all its attempts once more."""
    path = restored("0001", home)  # which had a number for them
    only_lost = sql(path, "SELECT id FROM hpo_slots WHERE losses > 0 AND losses = attempt - 1")
    assert only_lost
    done("db", "upgrade")
    assert sql(path, "SELECT slot_id FROM hpo_retries WHERE reason = 'lost'") == only_lost


def test_a_slot_of_another_container_is_free_after_the_upgrade(home: Path) -> None:
    """Nobody here can see whether its owner lives, and revision 0001 knew no lease."""
    path = restored("0001", home)
    here = owner.new().split("/")
    there = f"{here[0]}/pid:[1]/7/7/1"
    sql(path, "UPDATE hpo_slots SET owner = ? WHERE state = 'running'", there)
    done("db", "upgrade")
    held = sql(path, "SELECT owner, lease FROM hpo_slots WHERE state = 'running'")
    assert len(held) > 3
    assert {lease.forfeited(*row) for row in held} == {"expired"}


def test_an_interrupted_study_goes_on_to_its_exact_budget(path: Path, revision: str) -> None:
    done("db", "upgrade")
    begun = 0
    for study, then in SAID[revision].items():
        ended = run_hpo("resume", study, "--workers", 2, folder=path.parent)
        assert ended.returncode == 0, ended.stderr
        now = said(study)
        for stage in now["show"]["stages"]:
            assert stage["counts"]["open"] == 0
            assert sum(stage["counts"].values()) == stage["budget"]
        drawn = {(row["stage"], row["trial"]): row for row in now["report"]}
        for row in then["report"]:
            key = row["stage"], row["trial"]
            if row["state"] in ("COMPLETE", "FAIL"):
                assert shared(drawn[key], row) == row
            else:
                begun += 1
                assert drawn[key]["attempt"] > row["attempt"]
                kept = {
                    name: value
                    for name, value in row.items()
                    if (name == "seed" or name.startswith("params_")) and value is not None
                }
                assert shared(drawn[key], kept) == kept
    assert begun >= 4
    assert problems(path) == []


# Deaths in the middle


@pytest.fixture(scope="module")
def mother() -> Iterator[Child]:
    """A process that has imported everything; what is to be killed is forked from it."""
    with start_call(ledger_children.serve) as child:
        yield child


def test_a_death_in_an_upgrade_leaves_the_old_or_the_new(
    mother: Child, path: Path, revision: str
) -> None:
    old = dump(path)
    for statement in itertools.count(1):
        ask(mother, ledger_children.die, "upgrade", path, statement)
        ended = told(mother)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        assert dump(path) == old
    assert statement > 12
    assert problems(path) == []
    for study, then in SAID[revision].items():
        assert shared(said(study), then) == then


# Optuna's tables


def stock(path: Path, name: str) -> list[dict[str, Any]]:
    """Return the trials of a study as stock Optuna reads them."""
    storage = optuna.storages.RDBStorage(url_of(path))
    study = optuna.load_study(study_name=name, storage=storage)
    found = [{**trial.__dict__, "value": trial.values} for trial in study.get_trials()]
    storage.engine.dispose()
    return [{key: repr(value) for key, value in trial.items()} for trial in found]


@pytest.mark.parametrize("version", ["3.2", "4.9"])
def test_a_database_of_an_older_optuna_gains_our_tables(version: str, home: Path) -> None:
    path = restored(f"optuna-{version}", home)
    before, theirs = rows(path), {name: stock(path, name) for name in ("theirs", "two aims")}
    assert len(theirs["theirs"]) == 6
    assert problems(path) == []
    (home / "my.toml").write_text(
        'name = "ours"\nobjective = "aged:train"\ndirection = "maximize"\nsearch.trials = 4\n'
        "[space]\nx = { low = 1e-6, high = 1e-2, log = true }\nn = { low = 1, high = 9 }\n"
    )
    started = run_hpo("start", "my.toml", "--workers", 2, folder=home)
    assert started.returncode == 0, started.stderr
    assert {name: stock(path, name) for name in theirs} == theirs
    assert len(stock(path, "ours/1")) == 4
    after = rows(path)
    for table, then in before.items():
        assert after[table][: len(then)] == then
    assert problems(path) == []


@pytest.fixture
def too_old(home: Path) -> Path:
    return restored("optuna-3.1", home)


def schema(version: str) -> Callable[[Path], object]:
    return lambda path: sql(path, "UPDATE alembic_version SET version_num = ?", version)


OLD_SCHEMA = "optuna storage upgrade --storage sqlite:///hpo.db"
NEW_SCHEMA = "which this hpo does not know (it knows v3.2.0.a). Update hpo: pip install -U"


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("v3.0.0.d", OLD_SCHEMA),
        ("v2.6.0.a", OLD_SCHEMA),
        ("v0.9.0.a", OLD_SCHEMA),
        ("v3.2.1.a", NEW_SCHEMA),
        ("v6.0.0.a", NEW_SCHEMA),
    ],
)
@pytest.mark.parametrize("command", ["start my.toml", "db upgrade"])
def test_another_schema_of_optuna_is_refused(
    command: str, version: str, sentence: str, too_old: Path
) -> None:
    (too_old.parent / "my.toml").write_text(
        'objective = "aged:train"\ndirection = "maximize"\n[space]\nx = { low = 0, high = 1 }\n'
    )
    sql(too_old, "UPDATE alembic_version SET version_num = ?", version)
    before = dump(too_old)
    result = run(*command.split())
    assert result.exit_code == 3
    assert f"schema {version}" in result.stderr
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert dump(too_old) == before


def test_the_command_that_the_sentence_names_helps(too_old: Path) -> None:
    storage = optuna.storages.RDBStorage(url_of(too_old), skip_compatibility_check=True)
    storage.upgrade()
    storage.engine.dispose()
    theirs = stock(too_old, "theirs")
    assert done("db", "upgrade").stdout == (
        f"The database went from no tables of hpo to {migrations.HEAD}.\n"
    )
    assert problems(too_old) == []
    assert stock(too_old, "theirs") == theirs


@pytest.mark.parametrize("version", ["v3.0.0.d", "v6.0.0.a"])
def test_studies_of_ours_in_another_schema_of_optuna(
    version: str, path: Path, revision: str
) -> None:
    sql(path, "UPDATE alembic_version SET version_num = ?", version)
    before = dump(path)
    result = run("db", "upgrade")
    assert result.exit_code == 3
    assert f"schema {version}" in result.stderr
    assert dump(path) == before
