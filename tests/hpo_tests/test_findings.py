"""A definition's own finding and figure: called when no stage is open, told when they fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commands import done, run
from databases import problems
from objectives.files import place

import hpo

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

def axes(trials, curves):
    return Figure().subplots()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    return tmp_path


def definition(home: Path, **names: str) -> Path:
    """Write a definition of four trials, with hooks of a module that no other test has."""
    module = f"hooks_{home.name}".replace("-", "_")
    (home / f"{module}.py").write_text(HOOKS)
    hooks = {key: f"{module}:{name}" for key, name in names.items()}
    return place(home, search={"trials": 4}, **hooks)


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


def test_numpys_truth_is_as_good(home: Path) -> None:
    (finding,) = hpo.start(definition(home, finding="numpys"), workers=1).findings
    assert finding.holds is True


def test_what_was_found_before_is_not_shown_for_what_is_now(home: Path) -> None:
    module = definition(home, finding="finding")
    done("start", module, "--workers", 1)
    code = next(home.glob("hooks_*.py"))
    code.write_text(code.read_text().replace("def finding(", "def finding_of_old("))
    sys.modules.pop(code.stem, None)
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
        ("missing", "has no 'missing'"),
    ],
)
def test_a_mistake_in_it_is_told_and_costs_nothing(name: str, said: str, home: Path) -> None:
    started = run("start", path := definition(home, finding=name), "--workers", 1)
    assert started.exit_code == 0
    assert said in " ".join(started.stderr.split())
    assert "Best" in started.stdout
    assert hpo.show(1).findings == []
    # Mended, it is called again by `resume`, which runs nothing.
    module = next(home.glob("hooks_*.py"))
    module.write_text(HOOKS + f"\n{name} = finding\n")
    sys.modules.pop(module.stem, None)
    done("resume", 1)
    assert [each.holds for each in hpo.show(1).findings] == [True]
    assert path.exists()


def test_its_figure_comes_first(home: Path) -> None:
    done("start", definition(home, figure="figure"), "--workers", 1)
    plots = hpo.plot(1)
    assert plots.written[0].name == "figure.png"
    assert plots.written[0].stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "said"),
    [("wrong", "raised ValueError: no such column"), ("axes", "must return a matplotlib Figure")],
)
def test_a_figure_that_cannot_be_drawn_is_left_out(name: str, said: str, home: Path) -> None:
    done("start", definition(home, figure=name), "--workers", 1)
    plots = hpo.plot(1)
    assert said in plots.left_out["figure.png"]
    assert "history.png" in {path.name for path in plots.written}
