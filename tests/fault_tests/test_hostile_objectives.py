"""Objectives that misbehave: their trial ends as it must, and no other one is touched."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import databases
import psutil
import pytest
from commands import run
from objectives.files import place
from processes import run_hpo, start_python

import hpo

OBJECTIVE = Path(__file__).parents[1] / "objectives" / "hostile.py"
HOSTILE = 1
TRIALS = 6
MARK = "HPO_TEST_OF_HOSTILE_OBJECTIVES"

# Act: its end, and what the line says that tells why.
RAISED = {
    "exception": "ValueError: bad luck",
    "base_exception": r"hostile\.Odd: odd luck",
    "system_exit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt",
    "generator_exit": "GeneratorExit",
    "in_finally": "LookupError: second",
    "unprintable": r"hostile\.Unprintable: <exception str\(\) failed>",
    "unspeakable": "Unspeakable",
    "syntax": "SyntaxError",
    "unpicklable": "ValueError: locked",
    "long_message": "x the end",
    "odd_message": r"ValueError: \\udcff\0\x1b\[2J\x1b\]0;title\x07\u202e",
    "long_chain": "ValueError: link 2999",
    "circle": "ValueError: one",
    "deep": "RecursionError: maximum recursion depth exceeded",
    "recursion_limit": "RecursionError: maximum recursion depth exceeded",
    "memory": "MemoryError",
    "memory_kept": "MemoryError",
    "environ_and_raise": "ValueError: nowhere",
    # The print after it raises.
    "close_standard": "Bad file descriptor",
    "broken_stdout": "OSError: no pen",
}
LOST = [
    "leave",
    "segfault",
    "abort",
    "fork_and_die",
    "close_all",
    "close_all_and_open",
    "end_itself",
]
STOPPED = ["loop", "hold_the_gil"]
HARMLESS = [
    "hold_the_gil",
    "fork_and_live_on",
    "fork_and_return",
    "fork_and_raise",
    "pool",
    "threads",
    "chdir",
    "environ",
    "no_stdout",
    "handlers",
    "nice",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Make an empty folder the working directory; its name marks all processes of a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    return tmp_path


def prepared(act, **limits):
    """Write the definition of a study in which one trial of six misbehaves."""
    shutil.copy(OBJECTIVE, Path.cwd())
    search = {"sampler": "grid", "trials": TRIALS, **limits}
    space = {"n": {"low": 0, "high": TRIALS - 1}}
    return place(Path.cwd(), "hostile:train", space=space, fixed={"act": act}, search=search)


def started(act, **limits):
    """Run such a study with two workers, to its end."""
    result = run("start", prepared(act, **limits), "--workers", 2)
    assert result.exit_code == 0, result.output[:5000]
    return result


def outcome():
    """Return all that must repeat, by trial: state, score and curve."""
    curves = hpo.curves(1)
    return {
        trial.number: (
            str(trial.state),
            trial.value,
            curves[curves.trial == trial.number][["step", "score", "other"]].to_numpy().tolist(),
        )
        for trial in hpo.show(1).trials[0]
    }


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """What the six trials come to when none misbehaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("healthy"))
        started("nothing")
        found = outcome()
    assert [state for state, _, _ in found.values()] == ["COMPLETE"] * TRIALS
    return found


def left_over():
    """Return the processes that were started in this folder and still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == os.environ[MARK]:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def the_trial(healthy, acted=1):
    """Check everything around the trial that misbehaved, and return it."""
    assert Path("acted").read_text() == "x" * acted, "the fault did not happen"
    deadline = time.monotonic() + 10
    while left := left_over():
        assert time.monotonic() < deadline, left
    others = {number: end for number, end in outcome().items() if number != HOSTILE}
    assert others == {number: healthy[number] for number in others}
    assert len(others) == TRIALS - 1
    assert databases.problems(Path("hpo.db")) == []
    assert {row[1] for row in databases.slots_of(Path("hpo.db"))} <= {"complete", "failed"}
    return hpo.show(1).trials[0][HOSTILE]


@pytest.mark.parametrize("act", RAISED)
def test_what_it_raises_is_stored(healthy, act):
    shown = started(act)
    trial = the_trial(healthy)
    assert (trial.state, trial.reason, trial.attempt) == ("FAIL", "error", 1)
    assert re.search(RAISED[act], trial.error.splitlines()[-1])
    assert len(trial.error) < 50_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown.output)


@pytest.mark.parametrize("act", LOST)
def test_what_ends_its_process_is_given_up_after_three_attempts(healthy, act):
    shown = started(act, trial_timeout=30.0)  # so that it cannot hang
    trial = the_trial(healthy, acted=3)
    assert (trial.state, trial.reason, trial.attempt) == ("FAIL", "lost", 3)
    died = r"the worker of trial 1 died \((exit code \d+|SIG[A-Z]+)\); it runs again"
    assert len(re.findall(died, shown.stderr)) == 2


@pytest.mark.parametrize("act", STOPPED)
def test_what_does_not_end_is_stopped(healthy, act):
    started(act, trial_timeout=1.0)
    trial = the_trial(healthy)
    assert (trial.state, trial.reason, trial.attempt) == ("FAIL", "timeout", 1)


def test_who_stops_in_the_middle_of_a_message_is_not_waited_for(healthy):
    definition = prepared("half_a_message", trial_timeout=1.5)
    assert run_hpo("start", definition, "--workers", 2).returncode == 0
    trial = the_trial(healthy)
    assert (trial.state, trial.reason, trial.attempt) == ("FAIL", "timeout", 1)


@pytest.mark.parametrize("act", HARMLESS)
def test_what_does_no_harm(healthy, act):
    started(act)
    the_trial(healthy)
    assert outcome()[HOSTILE] == healthy[HOSTILE]


def test_two_threads_may_report(healthy):
    started("two_reporters")
    trial = the_trial(healthy)
    assert trial.steps == 3 + int(Path("reported").read_text())


def test_bytes_that_are_no_text(healthy):
    shown = started("binary")
    the_trial(healthy)
    assert "trial 1 │ " in shown.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown.stderr)


def test_half_a_line_belongs_to_its_trial(healthy):
    shown = started("last_words")
    the_trial(healthy)
    assert "  trial 1 │ last words\n" in shown.stderr


MEASURED = """
import os, re, sys
from pathlib import Path
from hpo.cli import main
os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT), 2)
sys.argv = ["hpo", *sys.argv[1:]]
try:
    main()
finally:  # not by getrusage, which counts what this process was before exec
    print(re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1])
"""
MORE_MB = 25
"""What the supervisor may take more than for a study that prints nothing."""


def measured(act, **limits):
    """Run a study by the command, and return the most memory that it took, in MB."""
    definition = prepared(act, **limits)
    with start_python(MEASURED, "start", str(definition), "--workers", "2", "--json") as child:
        printed = child.answer(within=300)
    document, _, memory = printed.rstrip().rpartition("\n")
    assert json.loads(document)["stages"][0]["counts"]["open"] == 0
    return int(memory) // 1024


@pytest.fixture(scope="module")
def quiet_memory(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("quiet"))
        return measured("nothing")


@pytest.mark.parametrize(("act", "ci_size"), [("flood", 10), ("flood_lines", 1)])
def test_a_flood_of_text_passes_through(healthy, quiet_memory, soak, act, ci_size):
    size = 100 if soak else ci_size
    Path("megabytes").write_text(str(size))
    assert measured(act) < quiet_memory + MORE_MB
    the_trial(healthy)
    assert outcome()[HOSTILE] == healthy[HOSTILE]
    said = Path("said").read_bytes()
    assert said.count(b"x") >= size * 990_000
    for number in range(TRIALS):
        assert f"printed by {number}\n".encode() in said


def test_a_flood_without_end_is_stopped(healthy, quiet_memory):
    assert measured("flood_for_ever", trial_timeout=1.5) < quiet_memory + MORE_MB
    trial = the_trial(healthy)
    assert (trial.state, trial.reason) == ("FAIL", "timeout")
