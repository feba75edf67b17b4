"""The note of a stage, as the stock Optuna dashboard reads it, and as a person may change it."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import databases
import optuna
import optuna_dashboard
import pytest
from commands import done
from databases import problems, sql
from made_studies import study as made
from markdown_it import MarkdownIt
from objectives.files import X, place
from optuna.storages import RDBStorage

import hpo
from hpo import note
from hpo.cli import words
from hpo.space import Choice, Float, Int, Space
from hpo.store import notes, studies, trial_rows
from hpo.store.engine import writing

URL = "sqlite:///hpo.db"


def stored(name):
    """Return the note of an Optuna study, by the dashboard's own reader."""
    return optuna_dashboard.get_note(optuna.load_study(study_name=name, storage=URL))


def shown(markdown):
    """Return what a reader sees of Markdown, a line per paragraph and list item."""
    html = MarkdownIt("commonmark").enable("table").render(markdown)
    lines = unescape(re.sub(r"<[^>]*>", "", html)).splitlines()
    return [line for line in lines if line]


@pytest.fixture
def searched(home):
    """A study of two searches and a confirmation."""
    place(home, "slope", fixed={"epochs": 3}, search={"trials": 30, "seed": 7})
    hpo.start("my.toml", workers=1)
    hpo.narrow("my", workers=1)
    hpo.confirm("my", top=2, seeds=3, workers=1)
    return hpo.show("my")


def test_the_first_stage_says_what_is_searched(searched):
    assert shown(stored("my/1")) == [
        "Stage 1 of study 1, my: start",
        "It searches for the highest score of tiny:slope, as the definition my says:",
        "x: 1e-06 … 1e-02 log",
        "Fixed: epochs 3.",
        "Sampler random, 30 trials to begin with, seed 7.",
    ]


def test_a_narrowed_stage_says_why(searched):
    first, second, _ = searched.stages
    evidence = second.evidence
    best = evidence["recommended"]
    (reason,) = (axis["reason"] for axis in evidence["axes"].values())
    assert reason == "with a probability of 100 % the optimum lies at the upper edge"
    told = shown(stored("my/2"))
    low = words.edge(second.space["x"], second.space["x"].low)
    assert told == [
        "Stage 2 of study 1, my: widen",
        "From stage 1, by the rule posterior from 30 trials:",
        f"x: widen, {reason}: 1e-06 … 1e-02 log → {low} … 1e+00 log",
        f"Recommended so far: trial 1/{best['trial']}, "
        f"{best['mean']:.3f} ± {words.score(best['se'])}: x {best['params']['x']:.3g}.",
        "Another setting in the old ranges could be expected to gain "
        f"{words.score(evidence['gain'])} at most.",
        f"{evidence['carried']} trial{'s' * (evidence['carried'] > 1)} so far "
        f"{'lie' if evidence['carried'] > 1 else 'lies'} inside the new ranges.",
        "Sampler tpe, 30 trials to begin with, seed 7.",
    ]
    assert first.space["x"].high < second.space["x"].high
    assert f"  x: widen, {reason}\n" in done("show", "my").stdout


def test_a_confirmation_says_which_settings_and_why_them(searched):
    settings = searched.last.evidence["settings"]
    assert shown(stored("my/3")) == [
        "Stage 3 of study 1, my: confirm",
        "The best 2 settings so far, again with the same 3 fresh seeds, to tell skill from luck:",
        *(
            f"trial {s['stage']}/{s['trial']}, {words.score(s['value'])} expected: "
            f"x {s['params']['x']:.3g}"
            for s in settings
        ),
        "6 trials to begin with, seed 7.",
    ]


def test_warnings_and_ranges_by_hand(home):
    place(home, "slope", search={"trials": 30})
    hpo.start("my.toml", workers=1)
    hpo.narrow("my", ranges={"x": (1e-6, 1e-5)}, trials=2, workers=1)
    told = shown(stored("my/2"))
    (warning,) = hpo.show("my").last.evidence["warnings"]
    assert warning.startswith("The range of x leaves out ")
    assert "x: narrow, set by hand: 1e-06 … 1e-02 log → 1e-06 … 1e-05 log" in told
    assert f"Warning: {warning}" in told
    assert f"\n  ! {warning}\n" in done("show", "my").stdout


def test_what_a_person_writes_stays(searched):
    mine = "*Look* at stage 1 again."
    for number in (1, 2, 3):
        theirs = optuna.load_study(study_name=f"my/{number}", storage=URL)
        optuna_dashboard.save_note(theirs, mine)
    hpo.narrow("my", from_stage=2, sampler="qmc", trials=4, workers=1)
    hpo.resume("my", trials=6, workers=1)
    assert [stored(f"my/{n}") for n in (1, 2, 3)] == [mine] * 3
    assert shown(stored("my/4"))[-1] == "Sampler qmc, 4 trials to begin with, seed 7."
    assert done("db", "check").exit_code == 0
    assert problems(Path("hpo.db")) == []


@pytest.mark.parametrize("length", [1, 2044, 2045, 2046, 4090, 10_000])
def test_a_note_is_stored_as_the_dashboard_stores_it(engine, path, length):
    body = ("ö`_\n" * length)[:length]
    with writing(engine) as connection:
        ours = trial_rows.insert_study(connection, "ours", ["MAXIMIZE"])
        notes.write(connection, ours, body)
    storage = RDBStorage(databases.url_of(path))
    theirs = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "plain")
    optuna_dashboard.save_note(optuna.load_study(study_name="plain", storage=storage), body)
    rows = "SELECT key, value_json FROM study_system_attributes WHERE study_id = ?"
    assert sql(path, rows, ours) == sql(path, rows, theirs)
    assert optuna_dashboard.get_note(optuna.load_study(study_name="ours", storage=storage)) == body


def test_a_shorter_note_takes_the_place_of_a_long_one(home):
    """The dashboard must find every part of ours, to empty those that it does not need."""
    space = {f"a_rather_long_name_of_a_parameter_{i}": X for i in range(60)}
    place(home, "flat", space={**space, "x": X}, search={"trials": 1, "sampler": "random"})
    hpo.start("my.toml", workers=1)
    assert len(stored("my/1")) > 2045
    assert len(shown(stored("my/1"))) == 2 + 61 + 1
    optuna_dashboard.save_note(optuna.load_study(study_name="my/1", storage=URL), "short")
    assert stored("my/1") == "short"


def test_no_stage_no_note(engine, path):
    """It belongs to the transaction that makes the stage."""
    with pytest.raises(KeyboardInterrupt):
        make_stage(engine, path, interrupted=True)
    assert notes_in(path) == []
    make_stage(engine, path, interrupted=False)
    assert len(notes_in(path)) == 2


def make_stage(engine, path, interrupted):
    definition = made(Space({"x": Float(0.0, 1.0)}), []).study.definition
    about = {"parent": None, "kind": "start", "space": definition.space, "evidence": None}
    how = {"sampler": "random", "budget": 1, "seeds": 1}
    with writing(engine) as connection:
        study = studies.create_study(connection, definition, "my", None, {"folder": None})
        studies.create_stage(connection, study, **about, **how)
        assert notes_in(path) == []  # no other program sees it yet
        if interrupted:
            raise KeyboardInterrupt


def notes_in(path):
    return sql(path, "SELECT key FROM study_system_attributes WHERE key LIKE 'dashboard:%'")


@pytest.mark.parametrize(
    "name",
    [
        "weight_decay_",
        "`",
        "a `tick` and ``two``",
        "*bold* [link](http://x.y) <b>html</b>",
        "$x^2$ | a | b",
        "# title",
        "1. item",
        "&amp; ~~gone~~ \\",
        "www.example.com me@x.yz ![image](x)",
    ],
)
def test_names_and_sentences_mean_only_themselves(name):
    choices = Choice((name, "other"))
    summary = made(Space({name: choices, "n": Int(1, 4, when={name: (name,)})}), [], [])
    first, second = summary.stages
    assert f"{name}: {name} | other" in shown(note.text(summary.study, first, None))
    axis = {"action": "keep", "old": [], "new": [], "reason": f"hardly ever {name!r}"}
    evidence = {
        "rule": "posterior",
        "trials": 30,
        "axes": {name: axis},
        "warnings": [f"{name} leans"],
        "recommended": None,
        "gain": None,
        "carried": 0,
    }
    second = replace(second, evidence=evidence)
    told = shown(note.text(summary.study, second, first))
    assert told[2:4] == [
        f"{name}: keep, hardly ever {name!r}: {name} | other",
        f"Warning: {name} leans",
    ]
