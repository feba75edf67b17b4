"""The JSON that other programs read: keys, their order and types as the design states them."""

import json
import math

import pandas as pd
import pytest
from commands import run
from objectives.files import X, place

from hpo.cli import screens
from hpo.health import CHECKS

WHOLE, REAL, TEXT, ANY = int, float, str, object
EVIDENCE = ANY


def maybe(shape):
    return (shape, None)


def check(found, shape, where="document"):
    """Compare a document with a shape.

    A shape is a type, a dict of shapes by key in their order, `{...: shape}` for any keys, a list
    of one shape, None, or a tuple of alternatives.
    """
    if isinstance(shape, tuple):
        problems = []
        for alternative in shape:
            try:
                return check(found, alternative, where)
            except AssertionError as problem:
                problems.append(str(problem))
        raise AssertionError(" / ".join(problems))
    if isinstance(shape, dict):
        assert isinstance(found, dict), f"{where} is {found!r}"
        if ... in shape:
            shape = dict.fromkeys(found, shape[...])
        assert list(found) == list(shape), f"{where} has {list(found)} instead of {list(shape)}"
        for key, part in shape.items():
            check(found[key], part, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(found, list), f"{where} is {found!r}"
        for i, item in enumerate(found):
            check(item, shape[0], f"{where}[{i}]")
    elif shape is None:
        assert found is None, f"{where} is {found!r}"
    elif shape is not ANY:
        assert type(found) is shape, f"{where} is {found!r}, not {shape.__name__}"
    return None


STUDY = {"id": WHOLE, "name": TEXT, "uuid": TEXT}
PARAMS = {...: (REAL, WHOLE, TEXT, bool)}
LOW_HIGH = ({"low": REAL, "high": REAL, "log": bool}, {"low": WHOLE, "high": WHOLE, "log": bool})
AXIS = (
    *LOW_HIGH,
    {"low": WHOLE, "high": WHOLE, "log": bool, "step": WHOLE},
    {"low": REAL, "high": REAL, "log": bool, "when": {...: [TEXT]}},
    {"choices": [ANY]},
)
STAGE = {
    "number": WHOLE,
    "parent": maybe(WHOLE),
    "kind": TEXT,
    "optuna_study": TEXT,
    "sampler": TEXT,
    "pruner": TEXT,
    "budget": WHOLE,
    "counts": {"complete": WHOLE, "pruned": WHOLE, "failed": WHOLE, "open": WHOLE},
    "space": {...: AXIS},
    "evidence": maybe({...: EVIDENCE}),
}
NUMBERS = {key: maybe(REAL) for key in ("mean", "se", "low", "high")}
FINALIST = {
    "from": {"stage": WHOLE, "trial": WHOLE},
    "params": ANY,
    "scores": [maybe(REAL)],
    "diverged": WHOLE,
    "lost": WHOLE,
    **NUMBERS,
    "tied": maybe(bool),
}
BEST = {
    "stage": WHOLE,
    "trial": WHOLE,
    "value": REAL,
    "mean": REAL,
    "se": maybe(REAL),
    "params": PARAMS,
}
ADVICE = {
    "ties": [{"stage": WHOLE, "trial": WHOLE}],
    "maximum": {"stage": WHOLE, "trial": WHOLE, "value": REAL},
}
TOP = [{"stage": WHOLE, "trial": WHOLE, "value": REAL, "params": PARAMS}]
SUMMARY = {"study": STUDY, "stages": [STAGE], "best": maybe(BEST), "top": TOP}
STOPPED = {**SUMMARY, "stopped": TEXT}
DRY_RUN = {
    "study": STUDY,
    "from_stage": WHOLE,
    "axes": {...: {"action": TEXT, "old": [ANY], "new": maybe([ANY]), "reason": TEXT}},
    "warnings": [TEXT],
}
FINAL = {
    "test_accuracy": maybe(REAL),
    "test_accuracies": maybe([maybe(REAL)]),
    "uses": WHOLE,
    "stage": WHOLE,
    "trial": WHOLE,
    "params": PARAMS,
    "diverged": WHOLE,
}
METRICS = {...: {"mean": maybe(REAL), "values": [maybe(REAL)]}}
CHECKED = {
    "study": STUDY,
    "findings": [{"check": TEXT, "status": TEXT, "message": TEXT, "remedy": maybe(TEXT)}],
}
REPORT_HEAD = ["study", "stage", "trial", "state", "value"]
REPORT_TAIL = ["steps", "seconds", "attempt", "seed", "diverged"]

SPACE = {
    "x": X,
    "width": {"low": 16, "high": 64, "step": 16},
    "deep": {"low": 1, "high": 9},
    "kind": {"choices": ["a", "b"]},
    "momentum": {"low": 0.5, "high": 0.9, "when": {"kind": "b"}},
    "flag": {"choices": [True, False]},
}


def asked(*arguments, code=0):
    """Run a command and return the one JSON document on stdout."""
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout, parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Two stages on a space of every kind; return the URL and what `start` and `narrow` said."""
    folder = tmp_path_factory.mktemp("studied")
    url = f"sqlite:///{folder}/hpo.db"
    definition = place(folder, space=SPACE, search={"trials": 40})
    started = asked("start", definition, "--storage", url, "--workers", 2)
    narrowed = asked("narrow", 1, "--storage", url, "--trials", 6, "--sampler", "random")
    return url, started, narrowed


def test_start(studied):
    _, started, _ = studied
    check(started, SUMMARY)
    assert started["study"]["name"] == "my"
    (stage,) = started["stages"]
    assert stage["counts"] == {"complete": 40, "pruned": 0, "failed": 0, "open": 0}
    assert (stage["number"], stage["parent"], stage["kind"]) == (1, None, "start")
    assert (stage["optuna_study"], stage["evidence"]) == ("my/1", None)
    assert stage["space"]["x"] == {"low": 1e-6, "high": 1e-2, "log": True}
    assert list(stage["space"]) == list(SPACE)
    assert len(started["top"]) == 5
    values = [trial["value"] for trial in started["top"]]
    assert values == sorted(values, reverse=True)
    assert started["best"]["stage"] == 1
    assert started["best"]["value"] <= values[0]
    assert started["best"]["params"].keys() <= SPACE.keys()


def test_narrow(studied):
    _, _, narrowed = studied
    check(narrowed, SUMMARY)
    assert [stage["number"] for stage in narrowed["stages"]] == [1, 2]
    second = narrowed["stages"][1]
    assert (second["parent"], second["optuna_study"], second["budget"]) == (1, "my/2", 6)
    assert second["evidence"]["axes"]["x"]["action"] in ("narrow", "keep", "widen")


def test_show_and_resume_say_the_same(studied):
    url, _, narrowed = studied
    assert asked("show", 1, "--storage", url) == narrowed
    assert asked("show", "my", "--storage", url) == narrowed
    assert asked("resume", 1, "--storage", url) == narrowed
    assert asked("list", "--storage", url) == [narrowed]


def test_best(studied):
    url, _, narrowed = studied
    best = asked("best", 1, "--storage", url)
    check(best, {**BEST, **ADVICE})
    assert best == {**best, **narrowed["best"]}


def test_confirm(tmp_path):
    url = f"sqlite:///{tmp_path}/hpo.db"
    definition = place(tmp_path, space=SPACE, search={"trials": 6})
    asked("start", definition, "--storage", url)
    said = asked("confirm", 1, "--top", 2, "--seeds", 2, "--storage", url)
    check(said, {**SUMMARY, "stages": [(STAGE, {**STAGE, "finalists": [FINALIST]})]})
    stage = said["stages"][1]
    assert (stage["kind"], stage["sampler"], stage["parent"]) == ("confirm", "given", 1)
    check(stage["evidence"], {"settings": TOP})
    assert [len(stage["finalists"]), len(stage["evidence"]["settings"])] == [2, 2]
    assert stage["space"] == said["stages"][0]["space"]
    assert asked("show", 1, "--storage", url) == said


def test_a_dry_run(studied):
    url, _, narrowed = studied
    said = asked("narrow", 1, "--dry-run", "--from-stage", 1, "--storage", url)
    check(said, DRY_RUN)
    assert (said["study"], said["from_stage"]) == (narrowed["study"], 1)
    assert list(said["axes"]) == list(SPACE)
    assert {axis["action"] for axis in said["axes"].values()} <= {"narrow", "keep", "widen"}
    assert said["axes"]["x"]["old"] == [1e-6, 1e-2]
    evidence = narrowed["stages"][1]["evidence"]["axes"]
    for name, axis in said["axes"].items():
        assert {key: evidence[name][key] for key in axis} == axis


def test_nothing_to_do(home):
    place(home, search={"trials": 60, "seeds": 2})
    asked("start", "my.toml")
    said = asked("narrow", 1)
    check(said, STOPPED)
    assert len(said["stages"]) == 1


def test_check(studied):
    url, _, narrowed = studied
    said = asked("check", 1, "--storage", url)
    check(said, CHECKED)
    assert said["study"] == narrowed["study"]
    names = [finding["check"] for finding in said["findings"]]
    assert names == [name for name in CHECKS if name in names]
    assert {"open", "trials", "failed", "diverged", "duplicates"} <= set(names)
    statuses = {finding["status"] for finding in said["findings"]}
    assert statuses == {"pass", "warn"}


def test_no_result_yet(home):
    place(home, fixed={"pause": 0.1}, search={"trials": 3})
    started = asked("start", "my.toml", "--timeout", 0.01)
    check(started, SUMMARY)
    assert started["best"] is None
    assert started["top"] == []
    assert started["stages"][0]["counts"]["open"] == 3
    assert asked("best", 1) is None


def test_failures(home):
    place(home, "leaving", fixed={"how": "raise"}, search={"trials": 3})
    started = asked("start", "my.toml", code=1)
    check(started, SUMMARY)
    assert started["stages"][0]["counts"] == {"complete": 0, "pruned": 0, "failed": 3, "open": 0}
    said = asked("check", 1, code=1)
    check(said, CHECKED)
    assert [f["check"] for f in said["findings"] if f["status"] == "fail"] == ["trials", "failed"]


@pytest.mark.parametrize(
    ("returned", "shape"),
    [("{'accuracy': 0.5}", FINAL), ("{'rmse': 2}", {**FINAL, "metrics": METRICS})],
)
def test_final(home, returned, shape):
    (home / "exam.py").write_text(f"def test(params, seed): return {returned}")
    place(home, test="exam:test", search={"trials": 2})
    asked("start", "my.toml")
    for use in (1, 2):
        said = asked("final", 1, *["--again"] * (use - 1))
        check(said, shape)
        assert said["uses"] == use
        shown = asked("show", 1)
        check(shown, {**SUMMARY, "test_uses": [shape]})
        assert shown["test_uses"][-1] == said
        best = asked("best", 1)
        check(best, {**BEST, **ADVICE, "test": shape})
        assert best["test"] == said


@pytest.mark.parametrize("curves", [False, True])
def test_report(studied, curves):
    url, _, _ = studied
    arguments = ["report", "1", "--storage", url, "--format", "json", *["--curves"] * curves]
    result = run(*arguments)
    assert result.exit_code == 0
    rows = json.loads(result.stdout, parse_constant=pytest.fail)
    if curves:
        head = ["study", "stage", "trial", "attempt", "step", "seconds"]
        assert [list(row) for row in rows] == [[*head, "gap", "half", "score"]] * 46 * 3
        assert {row["gap"] for row in rows} == {None}  # NaN
        assert all(math.isfinite(row["score"]) for row in rows)
    else:
        params = [f"params_{name}" for name in SPACE]
        assert [list(row) for row in rows] == [[*REPORT_HEAD, *params, *REPORT_TAIL]] * 46
        assert [row["trial"] for row in rows] == [*range(40), *range(6)]
        for row in rows:
            assert (row["params_momentum"] is None) == (row["params_kind"] == "a")
            assert type(row["params_flag"]) is bool
            assert type(row["params_width"]) is int
            assert type(row["seed"]) is int
            assert (row["state"], row["diverged"], row["attempt"]) == ("COMPLETE", False, 1)


@pytest.mark.parametrize("form", ["csv", "html", "table", "parquet"])
@pytest.mark.parametrize("curves", [False, True])
def test_report_formats(studied, tmp_path, form, curves):
    url, _, _ = studied
    out = tmp_path / f"report.{form}"
    arguments = ["report", "1", "--storage", url, "--format", form, *["--curves"] * curves]
    printed = run(*arguments)
    written = run(*arguments, "--out", out)
    assert (printed.exit_code, written.exit_code) == (0, 0)
    assert written.stdout == ""
    assert written.stderr == f"Written to {out}.\n"
    assert out.read_bytes() == printed.stdout_bytes
    columns = (
        ["study", "stage", "trial", "attempt", "step", "seconds", "gap", "half", "score"]
        if curves
        else [*REPORT_HEAD, *(f"params_{name}" for name in SPACE), *REPORT_TAIL]
    )
    if form == "table":
        assert printed.stdout.splitlines()[0].split() == columns
        assert len(printed.stdout.splitlines()) == 1 + (46 * 3 if curves else 46)
        return
    if form == "html":
        assert printed.stdout.startswith("<table")
        assert [f"<th>{column}</th>" in printed.stdout for column in columns] == [True] * len(
            columns
        )
        return
    frame = pd.read_csv(out) if form == "csv" else pd.read_parquet(out)
    assert list(frame.columns) == columns
    assert len(frame) == (46 * 3 if curves else 46)


def test_studies():
    check(asked("studies"), {...: {...: ANY}})


def test_nan_is_null(capsys):
    screens.print_json({"a": math.nan, "b": [math.inf, (1.0, -math.inf)], "c": {"d": 0.1}})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": None, "b": [None, [1.0, None]], "c": {"d": 0.1}}
