"""A stored trial run again: the same bits, or what came out otherwise; nothing is written."""

import gc
import json
import math
import shutil
import signal
from pathlib import Path

import databases
import optuna
import pytest
from commands import done, run
from objectives.files import X, place
from processes import start_hpo

import hpo
from hpo.errors import NotFoundError, ObjectiveError, StateError, UsageError

DATABASE = Path("hpo.db")

REPLAYED = """
import math
import os
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent


def exact(params, run):
    # Whatever is not exactly as it was gives another number: a type, the order, a digit.
    told = zlib.crc32(repr(list(params.items())).encode())
    run.report(0, score=told + run.seed, other=told / 3)
    return told / 7


def minus_zero(params, run):
    run.report(0, score=-0.0)
    return -0.0


def infinite(params, run):
    run.report(0, score=1.0, gap=math.nan)
    run.report(1, other=-math.inf)


def moody(params, run):
    # As the file `mood` says: another number, other steps, another end.
    mood = (FOLDER / "mood").read_text() if (FOLDER / "mood").exists() else ""
    for step in range(params["epochs"]):
        run.report(step, score=0.5 + (mood == "ulp") * 2**-53, half=0.25)
    if mood == "more":
        run.report(99, score=1.0, late=math.nan)
    if mood == "raise":
        raise ValueError("in a mood")
    if mood == "die":
        os._exit(1)
    return math.nextafter(0.5, 1) if mood == "score" else 0.5
"""


@pytest.fixture(autouse=True)
def folder(home):
    """Every test here has a folder of its own."""
    (home / "again.py").write_text(REPLAYED)
    return home


def start(objective="hill", *, trials=2, workers=1, **keys):
    search = {"trials": trials, **keys.pop("search", {})}
    return hpo.start(place(Path.cwd(), objective, search=search, **keys), workers=workers)


def content():
    """Return the bytes of the database, with those that wait beside it to be written into it."""
    gc.collect()  # a run's connection writes them when it is let go of
    waiting = Path("hpo.db-wal")
    return DATABASE.read_bytes(), waiting.read_bytes() if waiting.exists() else b""


def replayed(study=1, trial="1/0"):
    """Run a trial again, which must come out alike, and change no byte of the database."""
    before = content()
    found = hpo.replay(study, trial)
    assert found.equal
    assert found.differences == ()
    assert content() == before
    return found


# Alike


def test_a_trial_comes_out_alike():
    start("talking", trials=1)
    start(fixed={"epochs": 50}, search={"seed": 8})
    before = content()
    shown = done("replay", 2, "1/1")
    assert shown.stdout == "50 steps, 150 values and the score: equal bit for bit.\n"
    trial = hpo.show(2).trials[0][1]
    assert shown.stderr == (
        f"my-2 · trial 1/1 of study 2 · x {trial.params['x']:.3g} · seed {trial.seed}\n"
    )
    assert "  trial 0 │ to stderr\n" in done("replay", "my", "1/0").stderr
    assert content() == before


def test_as_json():
    summary = start(trials=1)
    (trial,) = summary.trials[0]
    end = {"state": "COMPLETE", "value": trial.value, "diverged_at": None}
    end |= {"reason": None, "error": None}
    assert json.loads(done("replay", 1, "1/0", "--json").stdout) == {
        "study": {"id": 1, "name": "my", "uuid": summary.study.uuid},
        "stage": 1,
        "trial": 0,
        "params": trial.params,
        "seed": trial.seed,
        "equal": True,
        "steps": 3,
        "values": 9,
        "stored": end,
        "again": end,
        "differences": [],
        "changed": {},
    }


SPACE = {
    "x": X,
    "optimizer": {"choices": ["sgd", "momentum"]},
    "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "momentum"}},
    "width": {"low": 16, "high": 4096, "log": True},
    "kind": {"choices": [True, 1, 0.5, "1", "ü"]},
}
FIXED = {"epochs": 3, "sizes": [1, 2.5], "more": {"b": 1, "a": [True]}, "name": "ü"}


def test_parameters_and_seed_are_exactly_those_of_the_search():
    start("again:exact", space=SPACE, fixed=FIXED, trials=12, search={"seeds": 2}, workers=2)
    hpo.narrow(1, ranges={"x": (1e-4, 1e-2)}, trials=4, workers=2)
    for stage in (1, 2):
        for number in range(4):
            assert replayed(1, f"{stage}/{number}").stored.stage == stage
    assert len({replayed(1, f"1/{number}").again.value for number in (1, 3, 5)}) == 3


def test_a_trial_whose_worker_was_lost_comes_out_alike():
    start("unlucky", trials=1, fixed={"deaths": 2})
    found = replayed()
    assert (found.stored.attempt, found.again.steps, found.values) == (3, 3, 9)


@pytest.mark.parametrize(
    ("objective", "keys", "told"),
    [
        ("pruning", {"space": {"x": {"low": 2e-5, "high": 5e-5}}}, "It was pruned, as before."),
        ("exploding", {"fixed": {"in": "score", "to": "nan"}}, "It diverged at step 7, as before."),
        ("exploding", {"fixed": {"in": "gap", "to": "-inf"}}, "It diverged at step 7, as before."),
        ("again:infinite", {}, "It diverged at step 1, as before."),
        (
            "returning",
            {"fixed": {"give": "nan"}, "metric": "not_reported"},
            "It diverged at step 2, as before.",
        ),
        ("leaving", {"fixed": {"how": "exit"}}, "It failed: SystemExit: enough, as before."),
        ("again:minus_zero", {}, None),
    ],
)
def test_every_ending_comes_out_alike(objective, keys, told):
    start(objective, trials=1, **keys)
    before = content()
    shown = done("replay", 1, "1/0").stdout.splitlines()
    assert shown[0].endswith(": equal bit for bit.")
    assert shown[1:] == ([told] if told else [])
    assert ("and the score" in shown[0]) == (hpo.show(1).trials[0][0].state == "COMPLETE")
    assert content() == before
    json.loads(done("replay", 1, "1/0", "--json").stdout)


# Otherwise


def moody(mood, *arguments, epochs=2, code=1):
    """Run a trial again in another mood, and return what is said."""
    start("again:moody", fixed={"epochs": epochs}, trials=1)
    Path("mood").write_text(mood)
    before = content()
    shown = run("replay", 1, "1/0", *arguments)
    assert shown.exit_code == code, shown.output
    assert content() == before
    return shown.stdout


def test_the_last_bit_counts():
    one, other = "0.5", "0.5000000000000001"
    assert [line.split() for line in moody("ulp").splitlines()][:-1] == [
        ["step", "metric", "stored", "again"],
        ["0", "score", one, other],
        ["1", "score", one, other],
    ]
    Path("mood").write_text("score")
    shown = json.loads(run("replay", 1, "1/0", "--json").stdout)
    assert not shown["equal"]
    assert shown["differences"] == [
        {"step": None, "metric": "score", "stored": 0.5, "again": math.nextafter(0.5, 1)}
    ]
    assert (shown["stored"]["value"], shown["again"]["value"]) == (0.5, math.nextafter(0.5, 1))


def test_only_the_first_differences_are_shown():
    lines = moody("ulp", epochs=25).splitlines()
    assert len(lines) == 1 + 10 + 1 + 1
    assert lines[11] == "… and 15 more"
    assert lines[12].startswith("The versions are the same: ")


def test_steps_and_metrics_that_were_not_there():
    document = json.loads(moody("more", "--json"))
    assert document["differences"] == [
        {"step": 99, "metric": "score", "stored": None, "again": 1.0},
        {"step": 99, "metric": "late", "stored": None, "again": "NaN"},
    ]
    assert (document["steps"], document["values"]) == (3, 6)


def test_another_end():
    assert moody("raise").splitlines()[0] == (
        "Before it ended, now it failed: ValueError: in a mood."
    )
    (difference,) = hpo.replay(1, "1/0").differences
    assert (difference.metric, difference.stored, difference.again) == ("score", 0.5, None)


def test_another_error_is_another_end():
    Path("mood").write_text("raise")
    start("again:moody", fixed={"epochs": 1}, trials=1)
    assert replayed().again.error is not None
    Path("again.py").write_text(REPLAYED.replace("in a mood", "in another"))
    found = hpo.replay(1, "1/0")
    assert found.differences == ()
    assert not found.equal


def test_versions_that_changed_are_named():
    start("again:moody", fixed={"epochs": 1}, trials=1)
    (stored,) = databases.sql(DATABASE, "SELECT environment FROM hpo_studies")[0]
    environment = json.loads(stored)
    now = environment["packages"].pop("scipy"), environment["python"]
    environment["python"] = "3.10.2"
    databases.sql(DATABASE, "UPDATE hpo_studies SET environment = ?", json.dumps(environment))
    assert hpo.replay(1, "1/0").changed == {"scipy": ("none", now[0]), "python": ("3.10.2", now[1])}
    assert f"python was 3.10.2, is {now[1]}\n" in done("replay", 1, "1/0").stdout
    Path("mood").write_text("ulp")
    told = run("replay", 1, "1/0").stdout
    assert "scipy was none" in told
    assert "The versions are the same" not in told


# Refused


def refused(kind, trial="1/0", study=1):
    before = content()
    with pytest.raises(kind) as told:
        hpo.replay(study, trial)
    assert content() == before
    return str(told.value)


def test_a_trial_that_is_not_written_so():
    start(trials=1)
    for trial in ("1-3", "1", "1/", "/1", "1/1/1", "1/-1", "²/1", "1/x", " 1/1", "1/" + "9" * 20):
        assert refused(UsageError, trial) == f"{trial!r} is not written STAGE/TRIAL, as 1/41"
        assert run("replay", 1, trial).exit_code == 2


def test_what_is_not_there():
    start()
    assert refused(NotFoundError, "1/2") == "stage 1 of study 1 has no trial 2. It has: 0 to 1"
    assert refused(NotFoundError, "2/0") == "study 1 has no stage 2. It has: 1"
    assert refused(NotFoundError, study="mine").startswith("no study mine in hpo.db. There are: 1 ")


def test_a_trial_that_is_not_finished():
    start("patient", search={"timeout": 0.5})
    for number in (0, 1):  # one was begun and given back, one was never begun
        told = refused(StateError, f"1/{number}")
        assert told == f"trial 1/{number} is not finished. Run: hpo resume 1"
    told = run("replay", 1, "1/0", "--storage", "sqlite:///./hpo.db").stderr
    assert told.endswith("Run: hpo resume --storage sqlite:///./hpo.db 1\n")


@pytest.mark.parametrize(
    ("objective", "keys", "reason"),
    [
        ("leaving", {"fixed": {"how": "killed"}, "search": {"max_attempts": 1}}, "lost"),
        ("patient", {"search": {"trial_timeout": 0.3}}, "timeout"),
    ],
)
def test_a_trial_that_did_not_end_by_itself(objective, keys, reason):
    start(objective, trials=1, **keys)
    assert refused(StateError) == (
        f"trial 1/0 did not end by itself ({reason}): there is no result to compare with. "
        "Look with: hpo show 1"
    )


def test_data_and_objectives_that_are_others_now(folder):
    start(describe="tiny:describe", trials=1)
    (folder / "data").write_text("second")
    assert refused(StateError).startswith("the data changed since study 1 was started: it was")
    (folder / "tiny.py").unlink()
    assert "there is no module 'tiny'" in refused(ObjectiveError)


def test_a_worker_that_dies():
    start("again:moody", fixed={"epochs": 1}, trials=1)
    Path("mood").write_text("die")
    assert refused(ObjectiveError) == "the worker died (exit code 1) while it ran trial 1/0 again"


@pytest.mark.parametrize("rows", ["trials", "trial_params"])
def test_parameters_that_are_gone(rows):
    start(trials=1)
    databases.sql(DATABASE, f"DELETE FROM {rows}")
    assert refused(StateError) == (
        "trial 1/0 cannot be run again: another program changed Optuna's tables, where its "
        "parameters are gone. Look with: hpo db check"
    )
    assert run("db", "check").exit_code == 1  # it says more, as promised


def test_parameters_that_are_others_now():
    start(space=SPACE, fixed={}, trials=1)
    databases.sql(DATABASE, "DELETE FROM trial_params WHERE param_name = 'width'")
    assert "where its parameters are not of its space ({'x': " in refused(StateError)


def test_parameters_that_were_deleted_with_their_study():
    start(trials=1)
    optuna.delete_study(study_name="my/1", storage="sqlite:///hpo.db")
    assert refused(StateError) == (
        "the Optuna study my/1 was deleted, and with it the parameters of trial 1/0. "
        "Restore a copy made by: hpo db backup"
    )


# Around it


def test_a_folder_that_was_moved(folder, monkeypatch):
    start("again:exact", trials=1)
    shutil.move(folder, f"{folder}-moved")
    monkeypatch.chdir(f"{folder}-moved")
    replayed()


def test_a_file_in_another_journal_mode_stays_in_it():
    # Opened for writing, its header would change.
    start(trials=1)
    done("db", "backup", "copy.db")
    databases.sql(Path("copy.db"), "PRAGMA journal_mode = DELETE")
    before = Path("copy.db").read_bytes()
    done("replay", 1, "1/0", "--storage", "sqlite:///copy.db")
    assert Path("copy.db").read_bytes() == before
    assert not list(Path.cwd().glob("copy.db-*"))


def test_while_another_run_writes(folder):
    start()
    place(folder, "patient", search={"trials": 3})
    with start_hpo("start", "my.toml", "--workers", 1) as running:
        running.until(lambda: list(folder.glob("worker-*")))
        assert hpo.replay(1, "1/0").equal
        running.until(lambda: databases.sql(DATABASE, "SELECT * FROM hpo_curves WHERE step > 2"))
        assert hpo.replay(1, "1/1").equal
        assert running.poll() is None
        (folder / "go").touch()
        running.answer()
    assert [row[1:] for row in databases.slots_of(DATABASE)] == [("complete", 1)] * 5
    assert databases.problems(DATABASE) == []


def test_ctrl_c_stops_it(folder):
    (folder / "go").touch()
    start("patient", trials=1)
    for path in (folder / "go", *folder.glob("worker-*")):
        path.unlink()
    before = content()
    with start_hpo("replay", 1, "1/0") as running:
        running.until(lambda: list(folder.glob("worker-*")))
        running.send_signal(signal.SIGINT)
        printed, told = running.communicate(timeout=30)
    assert (running.returncode, printed) == (130, "")
    assert told.splitlines()[1:] == ["Stopped."]
    (worker,) = folder.glob("worker-*")
    assert not Path(f"/proc/{worker.name.removeprefix('worker-')}").exists()
    assert content() == before
