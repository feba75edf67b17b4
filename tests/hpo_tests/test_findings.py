"""A definition's own finding and figure: called when no stage is open, told when they fail."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest
from commands import done, run
from databases import problems
from objectives.files import place

import hpo
from hpo.reports import hooks

HOOKS = """
import hpo
from matplotlib.figure import Figure

def finding(trials, curves):
    return hpo.Finding("more is better", f"best {trials['value'].max():.3f}", holds=True)

def two(trials, curves):
    return [
        hpo.Finding("all ended", f"{len(trials)} trials", holds=True),
        hpo.Finding("they learn", f"{len(curves)} steps", holds=False),
    ]

def numpys(trials, curves):
    return hpo.Finding("more is better", "of 4", holds=(trials["value"] < 1).all())

def numpys_not(trials, curves):
    return hpo.Finding("more is better", "of 4", holds=(trials["value"] > 1).any())

def half(trials, curves):
    return hpo.Finding("more is better", "of 4", holds=trials["value"] < 1)

def unsure(trials, curves):
    return hpo.Finding("more is better", "of 4", holds=None)

def nothing(trials, curves):
    return None

def wrong(trials, curves):
    raise ValueError("no such column")

def figure(trials, curves):
    drawn = Figure()
    drawn.subplots().plot(trials["trial"], trials["value"])
    return drawn

def drawn_wrong(trials, curves):
    drawn = Figure()
    drawn.subplots().plot([1, 2], [1, 2], "o", markevery=0)
    return drawn

def axes(trials, curves):
    return Figure().subplots()

def frames(trials, curves):
    return trials, curves
"""


HALF = """
import time

ended = []

def train(params, run):
    run.report(1, score=0.5)
    time.sleep(0.3)  # steps travel in batches
    run.report(2, score=0.6)
    time.sleep(60 * len(ended))
    ended.append(run.seed)
    return 0.6
"""


def definition(home: Path, **names: str) -> Path:
    """Write a definition of four trials, with hooks from the module beside it."""
    (home / "my_hooks.py").write_text(HOOKS)
    hooks = {key: f"my_hooks:{name}" for key, name in names.items()}
    return place(home, search={"trials": 4}, **hooks)


def change(home: Path, code: str) -> None:
    """Change the module; a process that has imported it would not notice."""
    (home / "my_hooks.py").write_text(code)
    sys.modules.pop("my_hooks", None)


def test_what_is_found_is_stored_and_shown(home: Path) -> None:
    started = run("start", definition(home, finding="two"), "--workers", 1)
    for shown in (started, run("show", 1)):
        assert shown.exit_code == 0
        lines = [line.split() for line in shown.stdout.splitlines()]
        assert ["holds", "all", "ended"] in lines
        assert ["4", "trials"] in lines
        assert ["does", "not", "hold", "they", "learn"] in lines
        assert ["12", "steps"] in lines
    found = json.loads(done("show", 1, "--json").stdout)["findings"]
    assert found == [
        {"claim": "all ended", "measured": "4 trials", "holds": True},
        {"claim": "they learn", "measured": "12 steps", "holds": False},
    ]
    assert problems(home / "hpo.db") == []


def test_one_finding_needs_no_list(home: Path) -> None:
    summary = hpo.start(definition(home, finding="finding"), workers=1)
    assert [each.claim for each in summary.findings] == ["more is better"]


@pytest.mark.parametrize(("name", "holds"), [("numpys", True), ("numpys_not", False)])
def test_numpys_truth_is_as_good(name: str, holds: bool, home: Path) -> None:
    summary = hpo.start(definition(home, finding=name), workers=1)
    for (finding,) in (summary.findings, hooks.findings(summary.study)):
        assert finding.holds is holds


def test_what_was_found_before_is_not_shown_for_what_is_now(home: Path) -> None:
    module = definition(home, finding="finding")
    done("start", module, "--workers", 1)
    change(home, HOOKS.replace("def finding(", "def finding_of_old("))
    assert "has no 'finding'" in done("resume", 1, "--trials", 5).stderr
    assert hpo.show(1).findings == []


def test_a_study_without_finding_has_no_such_key(home: Path) -> None:
    done("start", definition(home), "--workers", 1)
    assert "findings" not in json.loads(done("show", 1, "--json").stdout)
    assert "Findings" not in run("show", 1).stdout


def test_what_is_found_is_that_of_the_study_as_it_stands(home: Path) -> None:
    done("start", definition(home, finding="two"), "--workers", 1)
    done("resume", 1, "--trials", 6, "--workers", 1)
    assert [each.measured for each in hpo.show(1).findings] == ["6 trials", "18 steps"]


def test_an_open_stage_is_too_early(home: Path) -> None:
    done("start", definition(home, finding="two"), "--workers", 1, "--timeout", 1e-6)
    assert hpo.show(1).findings == []
    done("resume", 1)
    assert len(hpo.show(1).findings) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", "raised ValueError: no such column"),
        ("nothing", "returned None; it must return a hpo.Finding or a list of them"),
        ("half", "it must return a hpo.Finding or a list of them, each with two texts"),
        ("unsure", "each with two texts and holds=True or False"),
    ],
)
def test_a_mistake_in_it_is_told_and_costs_nothing(name: str, said: str, home: Path) -> None:
    started = run("start", path := definition(home, finding=name), "--workers", 1)
    assert started.exit_code == 0
    assert said in " ".join(started.stderr.split())
    assert "Best" in started.stdout
    assert hpo.show(1).findings == []
    shown = run("show", 1).stderr
    assert f"No finding of my_hooks:{name} is stored. To hear why: hpo resume 1" in shown
    # Mended, it is called again by `resume`, which runs nothing.
    change(home, HOOKS + f"\n{name} = finding\n")
    done("resume", 1)
    assert [each.holds for each in hpo.show(1).findings] == [True]
    assert path.exists()


@pytest.mark.parametrize("key", ["finding", "figure"])
def test_one_that_is_not_there_is_refused_before_anything_begins(key: str, home: Path) -> None:
    started = run("start", definition(home, **{key: "missing"}), "--workers", 1)
    assert started.exit_code == 1
    assert f"{key} = 'my_hooks:missing': the module my_hooks has no 'missing'" in started.stderr
    assert not (home / "hpo.db").exists()


def said_of(home: Path, code: str) -> str:
    """Return what is said when `finding` is this code."""
    path = definition(home, finding="finding")
    change(home, textwrap.dedent(code))
    return " ".join(done("start", path, "--workers", 1).stderr.split())


def test_where_it_raised_is_told(home: Path) -> None:
    code = """\
    def finding(trials, curves):
        return ratio(1, 0)

    def ratio(a, b):
        return a / b
    """
    said = "raised ZeroDivisionError: division by zero (my_hooks.py, line 5)"
    assert said in said_of(home, code)


@pytest.mark.parametrize("call", ["trials['accuracy']", "json.loads('no')", "hpo.show('no')"])
def test_an_error_in_a_library_is_told_where_the_users_code_called_it(
    call: str, home: Path
) -> None:
    code = f"""\
    import hpo, json

    def finding(trials, curves):
        return {call}
    """
    assert "(my_hooks.py, line 4)" in said_of(home, code)


@pytest.mark.parametrize("code", ["\n\nraise ValueError('no')\n", "\n\nraise ValueError(no'\n"])
def test_a_module_that_cannot_be_imported_is_told_with_its_line(code: str, home: Path) -> None:
    path = definition(home, finding="finding")
    change(home, code)
    said = " ".join(run("start", path, "--workers", 1).stderr.split())
    assert "Error: " in said
    assert "(my_hooks.py, line 3)" in said


def test_what_is_told_is_one_sentence(home: Path) -> None:
    code = """\
    def finding(trials, curves):
        error = ValueError("this\\nand that")
        error.add_note("and more")
        raise error
    """
    assert "raised ValueError: this (my_hooks.py, line 4)" in said_of(home, code)


def test_without_a_line_of_the_user_no_place_is_told(home: Path) -> None:
    """What is named may be a function of a library."""
    path = place(home, search={"trials": 1}, finding="json:loads")
    told = " ".join(done("start", path, "--workers", 1).stderr.split())
    assert "'json:loads' raised TypeError: " in told
    assert ", line " not in told


def test_a_figure_that_needs_all_trials_says_that_a_stage_is_open(home: Path) -> None:
    done("start", definition(home, figure="wrong"), "--workers", 1, "--timeout", 1e-6)
    said = hpo.plot(1).left_out["figure.png"]
    assert said.startswith("stage 1 is open. Finish it: hpo resume 1 ")
    assert "raised ValueError: no such column" in said
    done("resume", 1, "--workers", 1)
    assert "open" not in hpo.plot(1).left_out["figure.png"]


def test_a_figure_that_can_do_with_a_part_is_drawn(home: Path) -> None:
    done("start", definition(home, figure="figure"), "--workers", 1, "--timeout", 1e-6)
    assert hpo.plot(1).written[0].name == "figure.png"


def test_only_what_was_counted_is_given_to_them(home: Path) -> None:
    (home / "part.py").write_text(HALF)
    path = place(home, "part:train", search={"trials": 4}, figure="my_hooks:frames")
    (home / "my_hooks.py").write_text(HOOKS)
    done("start", path, "--workers", 1, "--timeout", 2)
    assert list(hpo.curves(1)["trial"]) == [0, 0, 1, 1], "half a curve is stored"
    trials, curves = hooks.call("figure", hpo.show(1).study, None)
    assert list(trials["trial"]) == [0]
    assert list(curves["trial"]) == [0, 0]


def test_without_any_result_they_are_not_called(home: Path) -> None:
    (home / "my_hooks.py").write_text(HOOKS)
    path = place(home, "part:fail", search={"trials": 2}, finding="my_hooks:finding")
    (home / "part.py").write_text("def fail(params, run):\n    raise ValueError\n")
    told = " ".join(run("start", path, "--workers", 1).stderr.split())
    assert "no trial has completed, so there is nothing for finding = 'my_hooks:finding'." in told
    assert hpo.show(1).findings == []


def test_its_figure_comes_first(home: Path) -> None:
    done("start", definition(home, figure="figure"), "--workers", 1)
    plots = hpo.plot(1)
    assert plots.written[0].name == "figure.png"
    assert plots.written[0].stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", "raised ValueError: no such column"),
        ("drawn_wrong", "raised ValueError: slice step cannot be zero"),
        ("axes", "must return a matplotlib Figure"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_left_out(name: str, said: str, home: Path) -> None:
    done("start", definition(home, figure=name), "--workers", 1)
    plots = hpo.plot(1)
    assert said in plots.left_out["figure.png"]
    assert "history.png" in {path.name for path in plots.written}
