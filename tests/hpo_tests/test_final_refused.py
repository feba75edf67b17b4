"""What `hpo final` refuses, and what the check finds in its table."""

from __future__ import annotations

from pathlib import Path

import pytest
from databases import problems, sql
from exams import DATABASE, interrupted, refused, rows, start
from objectives.files import place

import hpo
from hpo.errors import NotFoundError, ObjectiveError, StateError


@pytest.fixture(autouse=True)
def folder(home: Path) -> Path:
    """Every test here has a folder of its own."""
    return home


# Refusals


def test_a_study_without_a_test() -> None:
    hpo.start(place(Path.cwd()), trials=2)
    assert refused(StateError).startswith("study 1 has no test set: its definition names no test")


def test_a_study_that_is_not_there() -> None:
    start()
    assert refused(NotFoundError, 7) == "no study 7 in hpo.db. There are: 1 my."


def test_an_open_stage() -> None:
    start(search={"timeout": 0.001})
    assert refused(StateError) == (
        "stage 1 of study 1 is open: what is recommended may change, and the test set is for the "
        "end. Finish it: hpo resume 1"
    )
    assert rows("number") == []


def test_a_study_without_a_result() -> None:
    start(objective="leaving", fixed={"how": "raise"})
    assert refused(StateError).startswith("study 1 has no finished trial with a score")
    assert rows("number") == []


def test_parameters_that_another_program_changed() -> None:
    start()
    sql(DATABASE, "UPDATE trial_params SET param_value = 0.5")
    assert "cannot be tested: another program changed Optuna's tables" in refused(StateError)
    assert rows("number") == []


def test_data_that_changed(folder: Path) -> None:
    start(describe="tiny:describe")
    (folder / "data").write_text("second")
    assert refused(StateError).startswith("the data changed since study 1 was started")
    assert rows("number") == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("exam:missing", "test = 'exam:missing': the module exam has no 'missing'"),
        ("elsewhere:test", "test = 'elsewhere:test': there is no module 'elsewhere' in "),
    ],
)
def test_a_test_that_cannot_be_imported_is_no_use(name: str, sentence: str) -> None:
    start(name)  # no worker of the search has asked for it
    assert refused(ObjectiveError).startswith(sentence)
    assert rows("number") == []


def test_a_misspelt_name_in_the_objectives_module_is_told_at_the_start() -> None:
    told = "test = 'tiny:tset': the module tiny has no 'tset'"
    with pytest.raises(ObjectiveError, match=told):
        start("tiny:tset")
    assert not DATABASE.exists()


def test_no_worker_of_a_search_can_test(folder: Path) -> None:
    start("exam:plain", "exam:peeking")
    told = hpo.show(1).trials[0][0].error
    assert told is not None
    assert told.rstrip().endswith("RuntimeError: no test")


@pytest.mark.parametrize(
    ("mood", "what"),
    [
        ("raise", "test = 'exam:moody' raised ValueError: no test data here (exam.py, line "),
        ("exit", "test = 'exam:moody' raised SystemExit: 3 (exam.py, line "),
        ("die", "the worker died (exit code 1)"),
    ],
)
def test_a_test_that_fails_has_begun_and_goes_on_when_it_is_mended(mood: str, what: str) -> None:
    _, told = interrupted(mood)
    assert told.startswith(what)
    assert told.endswith(
        ". Use 1 of the test set has begun and counts; mend it and go on with the same setting "
        "and seeds: hpo final 1"
    )
    assert [(n, finished) for n, finished in rows("number, finished_at")] == [(1, None)]
    assert hpo.final(1).use.number == 1
    assert problems(DATABASE) == []


@pytest.mark.parametrize("which", range(10))
def test_what_is_no_number_by_name_is_refused(which: int) -> None:
    start("returning", fixed={"which": which})
    told = refused(ObjectiveError)
    assert told.startswith("test = 'exam:returning' returned ")
    assert "; it must return numbers by name, as {'accuracy': 0.97}. " in told


# Damage


DAMAGE = {
    "UPDATE hpo_test_uses SET number = 2": "the uses of its test set are numbered 2",
    "UPDATE hpo_test_uses SET slot = 9": "use 1 of its test set tested a trial that it does not "
    "have",
    "UPDATE hpo_test_uses SET params = '{}'": "use 1 of its test set tested parameters that are "
    "not of its space: {}",
    "UPDATE hpo_test_uses SET results = '[3]'": "use 1 of its test set has results that are none",
    "UPDATE hpo_test_uses SET results = '[null]'": "use 1 of its test set has 1 results for 5 "
    "seeds",
    "UPDATE hpo_test_uses SET finished_at = NULL": "use 1 of its test set is marked as "
    "interrupted with 0 missing results",
}


@pytest.mark.parametrize("statement", DAMAGE)
def test_the_check_finds_damage(statement: str) -> None:
    start()
    hpo.final(1)
    sql(DATABASE, statement)
    assert problems(DATABASE) == [f"study 1: {DAMAGE[statement]}"]
