"""Definition files: each mistake gets its own sentence, and a good one survives the database."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from commands import run
from objectives import tiny
from objectives.files import X

import hpo
from hpo.definition import (
    Definition,
    check_name,
    define,
    load_definition,
    parse_definition,
    stored_definition,
)
from hpo.errors import DefinitionError
from hpo.origin import Origin
from hpo.search import Search
from hpo.space import Choice, Float, Int, Space

GOOD = """
name = "full"
objective = "tiny:hill"
describe = "tiny:describe"
test = "tiny:Some.test"
figure = "pack.module:figure"
finding = "tiny:finding"
metric = "val_accuracy"
direction = "minimize"

[space]
lr = { low = 1e-6, high = 1e-2, log = true }
width = { low = 16, high = 256, step = 16 }
optimizer = { choices = ["sgd", "momentum"] }
momentum = { low = 0.5, high = 0.99, when = { optimizer = "momentum" } }

[limits]
lr = { low = 1e-8, high = 10.0 }

[fixed]
data = "digits"
samples = 500
hidden = [100, 100]
share = 0.2
nested = { deep = [true, { x = 1 }] }

[search]
sampler = "tpe"
trials = 12
seed = 7
seeds = 3
timeout = 60
max_attempts = 2

[quick]
fixed.epochs = 5
search.trials = 6
"""

HEAD = 'objective = "m:f"\ndirection = "maximize"\n'
SPACE = "[space]\nx = { low = 1.0, high = 2.0 }\n"


def axis(text: str) -> str:
    return f"{HEAD}[space]\nx = {text}\n"


def after(text: str) -> str:
    return HEAD + SPACE + text


TOP_KEYS = (
    "name, objective, describe, test, figure, finding, metric, direction, space, limits, fixed, "
    "search, quick"
)
SEARCH_KEYS = (
    "sampler, pruner, trials, seed, seeds, timeout, trial_timeout, trial_memory, max_attempts, "
    "durability"
)
SAMPLERS = "'random', 'tpe', 'gp', 'cmaes', 'qmc' or 'grid'"
AS_NUMBER = "a string, finite number, boolean, list or table of those"

BAD = {
    # Keys and tables of the file
    "nothing": ("", 'bad.toml, objective is missing; write objective = "module:function"'),
    "no objective": (
        'direction = "maximize"\n' + SPACE,
        'bad.toml, objective is missing; write objective = "module:function"',
    ),
    "no direction": (
        'objective = "m:f"\n' + SPACE,
        'bad.toml, direction is missing; write direction = "maximize" or "minimize"',
    ),
    "no space": (
        HEAD,
        "bad.toml, space is missing; a table [space] names the parameters to search",
    ),
    "unknown key": (HEAD + "epochs = 3\n" + SPACE, f"epochs: unknown key; allowed are {TOP_KEYS}"),
    "unknown table": (
        after("[serach]\ntrials = 3"),
        "serach: unknown key; allowed are " + TOP_KEYS,
    ),
    "two mistakes": (HEAD + 'metric = 1\nname = "7"\n' + SPACE, "metric (1) is not a string"),
    "name of another type": (HEAD + "name = 7\n" + SPACE, "name (7) is not a string"),
    "all digits": (
        HEAD + 'name = "42"\n' + SPACE,
        "name ('42') is all digits, which would read as a study's id",
    ),
    "empty name": (
        HEAD + 'name = ""\n' + SPACE,
        "name ('') must be 1 to 256 printable characters without spaces at its ends",
    ),
    "name with a line end": (
        HEAD + 'name = "a\\nb"\n' + SPACE,
        r"name ('a\nb') must be 1 to 256 printable characters without spaces at its ends",
    ),
    "objective without function": (
        'objective = "train"\ndirection = "maximize"\n' + SPACE,
        "objective: 'train' is not written module:function",
    ),
    "objective with a path": (
        'objective = "src/train:f"\ndirection = "maximize"\n' + SPACE,
        "objective: 'src/train:f' is not written module:function",
    ),
    "describe": (
        HEAD + 'describe = "m"\n' + SPACE,
        "describe: 'm' is not written module:function",
    ),
    "describe switched off": (HEAD + "describe = false\n" + SPACE, "describe (False) is not"),
    "metric empty": (HEAD + 'metric = ""\n' + SPACE, "metric ('') is empty"),
    "direction": (
        'objective = "m:f"\ndirection = "max"\n' + SPACE,
        "direction: 'max' is not 'maximize' or 'minimize'",
    ),
    "space is no table": (HEAD + "space = 3\n", "[space]: 3 is not a table"),
    "fixed is no table": (HEAD + "fixed = [1]\n" + SPACE, "[fixed]: [1] is not a table"),
    "search is no table": (HEAD + 'search = "tpe"\n' + SPACE, "[search]: 'tpe' is not a table"),
    # [space]
    "space empty": (HEAD + "[space]\n", "[space] is empty: name at least one parameter to search"),
    "constant": (
        axis("0.1"),
        "[space] x: 0.1 is not a range. Write { low = 0.001, high = 0.1, log = true } or "
        '{ choices = ["a", "b"] }; a constant goes under [fixed]',
    ),
    "no low": (axis("{ high = 2 }"), "[space] x: low is missing; a range needs low and high"),
    "no high": (axis("{ low = 2 }"), "[space] x: high is missing; a range needs low and high"),
    "unknown key of an axis": (
        axis("{ low = 1, high = 2, base = 10 }"),
        "[space] x: unknown key 'base'; allowed are low, high, log, step, choices, when",
    ),
    "inverted": (
        axis("{ low = 0.1, high = 0.01 }"),
        "bad.toml, [space] x: low (0.1) is not below high (0.01)",
    ),
    "empty range": (axis("{ low = 3, high = 3 }"), "[space] x: low (3) is not below high (3)"),
    "low as text": (
        axis('{ low = "1e-3", high = 1.0 }'),
        "[space] x: low ('1e-3') is not a finite number",
    ),
    "high as truth": (axis("{ low = 0, high = true }"), "x: high (True) is not a finite number"),
    "nan": (axis("{ low = nan, high = 1.0 }"), "[space] x: low (nan) is not a finite number"),
    "infinite": (axis("{ low = 1, high = inf }"), "[space] x: high (inf) is not a finite number"),
    "log as text": (
        axis('{ low = 1, high = 2, log = "yes" }'),
        "[space] x: log ('yes') is not true or false",
    ),
    "log from zero": (
        axis("{ low = 0, high = 2, log = true }"),
        "[space] x: low (0) must be above 0 on a log axis",
    ),
    "log below zero": (
        axis("{ low = -1.0, high = 2, log = true }"),
        "[space] x: low (-1.0) must be above 0 on a log axis",
    ),
    "step with log": (
        axis("{ low = 1, high = 9, step = 2, log = true }"),
        "[space] x: log and step do not go together; drop one of them",
    ),
    "step of zero": (
        axis("{ low = 1, high = 9, step = 0 }"),
        "[space] x: step (0) is not a number above 0",
    ),
    "step too large": (
        axis("{ low = 0.0, high = 1.0, step = 2 }"),
        "[space] x: step (2) is larger than the range 0.0 to 1.0",
    ),
    "no choice": (
        axis("{ choices = [] }"),
        "[space] x: choices ([]) is not a list with at least one value",
    ),
    "choices as text": (axis('{ choices = "relu" }'), "[space] x: choices ('relu') is not a list"),
    "choice twice": (axis("{ choices = [1, 2, 1] }"), "[space] x: the choice 1 is there twice"),
    "choice of a list": (
        axis("{ choices = [[100], [50]] }"),
        "[space] x: the choice [100] is not a string, a number or true/false",
    ),
    "choice of nan": (axis("{ choices = [nan] }"), "[space] x: the choice nan is not finite"),
    "choices and low": (
        axis("{ choices = [1, 2], low = 1 }"),
        "[space] x: unknown key 'low'; allowed are choices, when",
    ),
    # when
    "when as text": (
        axis('{ low = 1, high = 2, when = "sgd" }'),
        "[space] x: when ('sgd') is not a condition such as { optimizer = \"momentum\" }",
    ),
    "unknown parent": (
        axis('{ low = 1, high = 2, when = { optimizer = "sgd" } }'),
        "[space] x: when names 'optimizer', which is not a parameter of [space]",
    ),
    "parent with a range": (
        axis("{ low = 1, high = 2, when = { y = 1 } }") + "y = { low = 1, high = 2 }",
        "[space] x: when names 'y', which is not a parameter with choices",
    ),
    "unknown value": (
        axis('{ low = 1, high = 2, when = { y = ["a", "c"] } }') + 'y = { choices = ["a", "b"] }',
        "[space] x: when names 'y' = 'c', which is none of its choices ('a', 'b')",
    ),
    "no value": (
        axis("{ low = 1, high = 2, when = { y = [] } }") + 'y = { choices = ["a", "b"] }',
        "[space] x: when names 'y' without a value",
    ),
    "itself": (
        axis('{ choices = ["a", "b"], when = { x = "a" } }'),
        "[space] x: its condition depends on itself",
    ),
    "circle": (
        axis('{ choices = ["a"], when = { y = "b" } }')
        + 'y = { choices = ["b"], when = { x = "a" } }',
        "[space] x: its condition depends on itself",
    ),
    # [limits]
    "limit of nothing": (
        after("[limits]\ny = { low = 1, high = 2 }"),
        "[limits] y: not a parameter of [space]",
    ),
    "limit is no table": (after("[limits]\nx = 3"), "[limits] x: 3 is not a table"),
    "half a limit": (
        after("[limits]\nx = { low = 0.5 }"),
        "[limits] x: needs exactly low and high, has low",
    ),
    "no limit": (after("[limits]\nx = {}"), "[limits] x: needs exactly low and high, has none"),
    "limit as text": (
        after('[limits]\nx = { low = "0", high = 3 }'),
        "[limits] x: low ('0') is not a finite number",
    ),
    "limit not a number": (
        after("[limits]\nx = { low = nan, high = 3 }"),
        "[limits] x: low (nan) is not a finite number",
    ),
    "limit without end": (
        after("[limits]\nx = { low = 0, high = inf }"),
        "[limits] x: high (inf) is not a finite number",
    ),
    "limit inside the range": (
        after("[limits]\nx = { low = 0.5, high = 1.5 }"),
        "[limits] x: 0.5 to 1.5 does not hold the range of [space], 1.0 to 2.0",
    ),
    "limit of choices": (
        axis('{ choices = ["a"] }') + "[limits]\nx = { low = 1, high = 2 }",
        "[limits] x: a parameter with choices has no limits",
    ),
    "limit of a log axis": (
        axis("{ low = 1, high = 2, log = true }") + "[limits]\nx = { low = 0, high = 2 }",
        "[limits] x: low (0) must be above 0 on a log axis",
    ),
    # [fixed]
    "fixed and searched": (
        after("[fixed]\nx = 1.5"),
        "[fixed] x: it is searched in [space] already; drop one",
    ),
    "fixed nan": (after("[fixed]\ny = nan"), f"[fixed] y: nan is not {AS_NUMBER}"),
    "fixed date": (
        after("[fixed]\ny = [2026-11-21]"),
        f"[fixed] y: [datetime.date(2026, 11, 21)] is not {AS_NUMBER}",
    ),
    # [search]
    "unknown key of search": (
        after("[search]\nepochs = 3"),
        f"[search] epochs: unknown key; allowed are {SEARCH_KEYS}",
    ),
    "sampler": (
        after('[search]\nsampler = "bayes"'),
        f"[search] sampler: 'bayes' is not {SAMPLERS}",
    ),
    "no trials": (after("[search]\ntrials = 0"), "[search] trials (0) must be at least 1"),
    "half a trial": (
        after("[search]\ntrials = 2.5"),
        "[search] trials (2.5) is not a whole number",
    ),
    "trials as text": (
        after('[search]\ntrials = "100"'),
        "[search] trials ('100') is not a whole number",
    ),
    "trials as truth": (
        after("[search]\ntrials = true"),
        "[search] trials (True) is not a whole number",
    ),
    "negative seed": (after("[search]\nseed = -1"), "[search] seed (-1) must be at least 0"),
    "seed too large for a database": (
        after("[search]\nseed = 9223372036854775808"),
        "[search] seed (9223372036854775808) must be at most 9223372036854775807",
    ),
    "no replicates": (after("[search]\nseeds = 0"), "[search] seeds (0) must be at least 1"),
    "no multiple of seeds": (
        after("[search]\ntrials = 10\nseeds = 3"),
        "[search] trials (10) is not a multiple of seeds (3): every setting is run once per seed",
    ),
    "no time": (after("[search]\ntimeout = 0"), "[search] timeout (0) must be above 0"),
    "endless time": (after("[search]\ntimeout = inf"), "[search] timeout (inf) must be finite"),
    "no trial time": (
        after("[search]\ntrial_timeout = -1"),
        "[search] trial_timeout (-1) must be above 0",
    ),
    "memory of no size": (
        after('[search]\ntrial_memory = "lots"'),
        """[search] trial_memory: 'lots' is not a size such as "2GB", "500 MiB" or 2000000000""",
    ),
    "memory of another unit": (
        after('[search]\ntrial_memory = "2 litres"'),
        """[search] trial_memory: '2 litres' is not a size such as "2GB\"""",
    ),
    "no memory": (
        after("[search]\ntrial_memory = 0"),
        "[search] trial_memory (0) must be above 0",
    ),
    "unknown durability": (
        after('[search]\ndurability = "some"'),
        "[search] durability: 'some' is not 'normal' or 'full'",
    ),
    "time as text": (after('[search]\ntimeout = "1h"'), "[search] timeout ('1h') is not a number"),
    "no attempt": (after("[search]\nmax_attempts = 0"), "[search] max_attempts (0) must be at"),
    # [quick]
    "unknown table of quick": (
        after("[quick]\nepochs = 3"),
        "[quick] epochs: 'epochs' is not 'fixed' or 'search'",
    ),
    "quick is no table": (after("[quick]\nfixed = 3"), "[quick] fixed: 3 is not a table"),
    "unknown key of quick": (
        after("[quick]\nsearch.trails = 3"),
        f"[quick], [search] trails: unknown key; allowed are {SEARCH_KEYS}",
    ),
    "bad value in quick": (
        after("[quick]\nsearch.trials = 0"),
        "bad.toml, [quick], [search] trials (0) must be at least 1",
    ),
    "quick against seeds": (
        after("[search]\nseeds = 5\n[quick]\nsearch.trials = 8"),
        "[quick], [search] trials (8) is not a multiple of seeds (5)",
    ),
    "quick fixes what is searched": (
        after("[quick]\nfixed.x = 1.5"),
        "[quick], [fixed] x: it is searched in [space] already; drop one",
    ),
    "quick fixes nan": (
        after("[quick]\nfixed.y = nan"),
        f"[quick], [fixed] y: nan is not {AS_NUMBER}",
    ),
    # Characters that steer a terminal
    "control character in a parameter": (
        HEAD + '[space]\n"x\\u001b[2J" = { low = 1.0, high = 2.0 }\n',
        r"[space] 'x\x1b[2J': a name must be printable characters",
    ),
    "control character in a choice": (
        axis('{ choices = ["a\\u0007", "b"] }'),
        r"[space] x: the choice 'a\x07' has characters without a shape",
    ),
    "control character in fixed": (
        after('[fixed]\n"k\\u009b" = 1'),
        r"[fixed] 'k\x9b': a name must be printable characters",
    ),
    "control character in the metric": (
        'metric = "a\\u001b[2J"\n' + HEAD + SPACE,
        r"metric ('a\x1b[2J') must be printable characters",
    ),
    "control character in an unknown key": (
        '"a\\u001b[2J" = 1\n' + HEAD + SPACE,
        r"bad.toml, a\x1b[2J: unknown key; allowed are",
    ),
    # Numbers that are too much
    "a million trials": (
        after("[search]\ntrials = 1_000_001"),
        "[search] trials (1000001) must be at most 1000000",
    ),
    "a limit of hundreds of digits": (
        after(f"[limits]\nx = {{ low = 0.0, high = 1{'0' * 400} }}"),
        "[limits] x: high is a whole number beyond 2**53",
    ),
    # The file itself
    "not TOML": (HEAD + "[space\n", "bad.toml is not valid TOML: "),
    "key twice": (HEAD + HEAD, "bad.toml is not valid TOML: Cannot overwrite a value"),
    "a table twice": (after(SPACE), "bad.toml is not valid TOML: "),
}


@pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_gets_its_sentence_and_nothing_is_created(home: Path, text, sentence):
    (home / "bad.toml").write_text(text)
    started = run("start", "bad.toml")
    assert started.exit_code == 2
    assert started.stdout == ""
    assert started.stderr.startswith("Error: bad.toml")
    assert sentence in started.stderr
    assert started.stderr.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["bad.toml"]


def folder(path: Path) -> None:
    path.mkdir()


FILES = {
    "missing": (lambda path: None, "There is no file bad.toml"),
    "folder": (folder, "bad.toml is a folder, not a definition file"),
    "not text": (
        lambda path: path.write_bytes(b'name = "\xff\xfe"'),
        "bad.toml is not a text file in UTF-8",
    ),
    "loop": (
        lambda path: path.symlink_to(path),
        "bad.toml cannot be read: Too many levels of symbolic links",
    ),
}


@pytest.mark.parametrize(("make", "sentence"), FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_read(home: Path, make, sentence):
    make(home / "bad.toml")
    started = run("start", "bad.toml")
    assert (started.exit_code, started.stdout) == (2, "")
    assert started.stderr == f"Error: {sentence}\n"
    assert not (home / "hpo.db").exists()


def test_a_file_named_in_digits_needs_a_name(home: Path):
    (home / "2024.toml").write_text(HEAD + SPACE)
    with pytest.raises(DefinitionError, match=r"2024.toml, name \('2024'\) is all digits"):
        load_definition(home / "2024.toml")
    (home / "2024.toml").write_text('name = "y2024"\n' + HEAD + SPACE)
    assert load_definition(home / "2024.toml").name == "y2024"


# Good files


@pytest.fixture
def full(home: Path) -> Definition:
    (home / "some.toml").write_text(GOOD)
    return load_definition(home / "some.toml")


def test_what_a_file_says(full: Definition, home: Path):
    assert full == Definition(
        name="full",
        objective="tiny:hill",
        describe="tiny:describe",
        test="tiny:Some.test",
        figure="pack.module:figure",
        finding="tiny:finding",
        metric="val_accuracy",
        direction="minimize",
        space=Space(
            {
                "lr": Float(1e-6, 1e-2, log=True),
                "width": Int(16, 256, step=16),
                "optimizer": Choice(("sgd", "momentum")),
                "momentum": Float(0.5, 0.99, when={"optimizer": ("momentum",)}),
            }
        ),
        limits={"lr": (1e-8, 10.0)},
        fixed={
            "data": "digits",
            "samples": 500,
            "hidden": [100, 100],
            "share": 0.2,
            "nested": {"deep": [True, {"x": 1}]},
        },
        search=Search(sampler="tpe", trials=12, seed=7, seeds=3, timeout=60, max_attempts=2),
        quick={"fixed": {"epochs": 5}, "search": {"trials": 6}},
        folder=str(home),
        origin=Origin(file=str(home / "some.toml")),
    )


def test_the_least_that_a_file_says(home: Path):
    (home / "small.toml").write_text(HEAD + SPACE)
    small = load_definition(home / "small.toml")
    assert small.name == "small"
    assert small.metric == "score"
    assert small.search == Search(
        sampler=None, trials=100, seed=0, seeds=1, timeout=None, max_attempts=3
    )
    assert [small.fixed, small.limits, small.quick] == [{}, {}, {}]
    assert small.describe is small.test is small.figure is small.finding is None


@pytest.mark.parametrize("read", [stored_definition, parse_definition])
def test_a_definition_survives_the_database(read, full: Definition, home: Path):
    for definition in (full, full.quickened(), replace(full, fixed=None, limits=None)):
        again = read(json.loads(json.dumps(definition.to_json(), allow_nan=False)))
        assert again.hash == definition.hash
        assert again.to_json() == definition.to_json()
    # What is not stored: folder and origin, which the study's environment has, and [quick].
    assert read(full.to_json()) == replace(full, folder=None, origin=None, quick={})


def test_what_a_newer_hpo_has_stored_is_told(full: Definition):
    stored = full.to_json()
    with pytest.raises(DefinitionError, match=r"^\[search\] shards: unknown key; allowed are"):
        stored_definition({**stored, "search": {**stored["search"], "shards": 8}})
    with pytest.raises(DefinitionError, match=r"^tags: unknown key; allowed are"):
        stored_definition({**stored, "tags": ["a"]})


def test_the_hash_is_the_same_for_the_same_meaning(full: Definition, home: Path):
    assert re.fullmatch("[0-9a-f]{64}", full.hash)
    assert replace(full, folder="/elsewhere", quick=None).hash == full.hash
    backwards = dict(reversed((full.fixed or {}).items()))
    assert replace(full, fixed=backwards).hash == full.hash
    head, tail = GOOD.split("[limits]")
    (home / "moved.toml").write_text(
        head + "[search]" + tail.split("[search]")[1] + "[limits]" + tail.split("[search]")[0]
    )
    assert load_definition(home / "moved.toml").hash == full.hash


def test_the_hash_differs_for_another_meaning(full: Definition):
    backwards = Space(dict(reversed(full.space.axes.items())))
    others = [
        replace(full, space=backwards),  # draws are made in the order of the space
        replace(full, metric="val_loss"),
        full.setting("samples", 501),
        full.setting("samples", 500.5),
        full.searching(seed=8),
        replace(full, limits={"lr": (1e-8, 1.0)}),
        replace(full, limits=None),
    ]
    assert len({full.hash, *(other.hash for other in others)}) == 1 + len(others)


def test_setting_a_key_of_fixed_or_a_new_one(full: Definition):
    changed = full.setting("samples", 50).setting("new", "word")
    assert changed.fixed == {**(full.fixed or {}), "samples": 50, "new": "word"}
    assert changed.space == full.space
    assert full.fixed is not None
    assert "new" not in full.fixed


def test_a_setting_that_nothing_knows_is_refused():
    x = {"low": 0.0, "high": 1.0}
    made = define("m:f", space={"x": x}, direction="maximize", fixed={"epochs": 3})
    assert made.setting("epochs", 4).fixed == {"epochs": 4}
    with pytest.raises(DefinitionError, match=r"no epoch in .*; did you mean epochs"):
        made.setting("epoch", 4)
    with pytest.raises(DefinitionError, match="they have: x, epochs"):
        made.setting("lr", 0.1)
    # What describes the data also says which settings there are.
    assert replace(made, describe="m:d").setting("lr", 0.1).fixed == {"epochs": 3, "lr": 0.1}


def test_fixing_a_parameter_takes_it_out_of_space_and_limits(full: Definition):
    fixed = full.setting("lr", 20)  # outside its range and its limits: the user knows
    assert list(fixed.space) == ["width", "optimizer", "momentum"]
    assert not fixed.limits
    assert fixed.fixed is not None
    assert fixed.fixed["lr"] == 20
    assert parse_definition(fixed.to_json()).hash == fixed.hash


def test_fixing_a_choice_keeps_or_drops_what_depends_on_it(full: Definition):
    kept = full.setting("optimizer", "momentum").space
    assert kept["momentum"] == Float(0.5, 0.99)
    assert list(kept) == ["lr", "width", "momentum"]
    assert list(full.setting("optimizer", "sgd").space) == ["lr", "width"]


def test_fixing_a_choice_drops_also_what_depends_on_what_it_dropped():
    space = {
        "kind": {"choices": ["a", "b"]},
        "inner": {"choices": [1, 2], "when": {"kind": "b"}},
        "innermost": {"low": 0.0, "high": 1.0, "when": {"inner": 2}},
        "other": {"low": 0.0, "high": 1.0},
    }
    made = define("m:f", space=space, direction="maximize")
    assert list(made.setting("kind", "a").space) == ["other"]
    assert list(made.setting("kind", "b").space) == ["inner", "innermost", "other"]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("optimizer", "adam", "'adam' is none of its choices ('sgd', 'momentum')"),
        ("optimizer", 1, "1 is none of its choices"),
        ("lr", "fast", "'fast' is not a number"),
        ("lr", True, "True is not a number"),
        ("lr", float("nan"), f"nan is not {AS_NUMBER}"),
        ("width", 32.5, "32.5 is not a whole number"),
        ("width", [16, 32], "[16, 32] is not a number"),
        ("samples", float("inf"), f"inf is not {AS_NUMBER}"),
        ("samples", {1, 2}, f"{{1, 2}} is not {AS_NUMBER}"),
    ],
)
def test_a_setting_that_cannot_be(full: Definition, key, value, sentence):
    with pytest.raises(DefinitionError, match=re.escape(f"--set {key}: {sentence}")):
        full.setting(key, value)


def test_the_last_parameter_cannot_be_fixed(full: Definition):
    for key, value in (("lr", 0.1), ("width", 32)):
        full = full.setting(key, value)
    with pytest.raises(DefinitionError, match="--set optimizer: nothing would be left to search"):
        full.setting("optimizer", "sgd")
    assert list(full.setting("optimizer", "momentum").space) == ["momentum"]


def test_quick(full: Definition):
    quick = full.quickened()
    assert quick.search == replace(full.search, trials=6)
    assert quick.fixed == {**(full.fixed or {}), "epochs": 5}
    assert quick.space == full.space
    assert quick.name == f"{full.name}-quick"
    with pytest.raises(DefinitionError, match=r"full has no \[quick\] table, so --quick means"):
        replace(full, quick=None).quickened()


def test_searching(full: Definition):
    assert full.searching(trials=3, sampler="qmc").search == replace(
        full.search, trials=3, sampler="qmc"
    )
    with pytest.raises(DefinitionError, match=r"^--trials \(4\) is not a multiple of seeds"):
        full.searching(trials=4)
    with pytest.raises(DefinitionError, match=r"--sampler: 'bayes' is not 'random'"):
        full.searching(sampler="bayes")
    with pytest.raises(DefinitionError, match=r"--trails: unknown key; allowed are"):
        full.searching(trails=3)


@pytest.mark.parametrize("name", ["digits", "my study", "a/b", "7b", "größe λ", "x" * 256])
def test_good_names(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "7", "007", " a", "a ", "/a", "a\tb", "a\x7f", "x" * 257])
def test_bad_names(name):
    with pytest.raises(DefinitionError, match="name"):
        check_name(name)


# In Python


def test_define():
    made = define(
        tiny.hill,
        space={"x": X},
        direction="maximize",
        fixed={"epochs": 2},
        search={"trials": 4},
    )
    assert made.objective == "objectives.tiny:hill"
    assert made.name == "hill"
    assert made.search.trials == 4
    # The folder that makes `objectives.tiny` importable in a worker.
    assert made.folder == str(Path(tiny.__file__).parents[1])


def test_define_by_name():
    made = define("pack.module:Class.train", space={"x": X}, direction="minimize")
    assert (made.name, made.folder) == ("train", None)


def test_a_function_of_a_package(home: Path, monkeypatch):
    (home / "pack").mkdir()
    (home / "pack" / "__init__.py").write_text("def train(params, run):\n    return params['x']\n")
    monkeypatch.syspath_prepend(home)
    import pack  # type: ignore[import-not-found]

    made = define(pack.train, space={"x": X}, direction="maximize", search={"trials": 2})
    assert (made.objective, made.folder) == ("pack:train", str(home))
    assert hpo.start(made, workers=1).counts(hpo.show(1).stages[0]).complete == 2


def inner():
    def objective(params, run):
        return 0.0

    return objective


class Callable:
    def __call__(self, params, run):
        return 0.0


def of_main(params, run):
    return 0.0


of_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (lambda params, run: 0.0, "test_definition:<lambda>"),
        (inner(), "test_definition:inner.<locals>.objective"),
        (of_main, "__main__:of_main"),
        (partial(of_main, run=None), "None"),
        (Callable(), "None"),
    ],
    ids=["lambda", "inner", "main", "partial", "object"],
)
def test_a_function_that_no_worker_can_import(function, shown):
    with pytest.raises(DefinitionError, match="workers are processes of their own") as caught:
        define(function, space={"x": X}, direction="maximize")
    assert shown in str(caught.value)
    assert "Put the function at the top level of a module file" in str(caught.value)


def test_what_define_refuses_it_refuses_as_a_file():
    with pytest.raises(DefinitionError, match="'train' is not written module:function"):
        define("train", space={"x": X}, direction="maximize")
    with pytest.raises(DefinitionError, match="trails: unknown key"):
        define(tiny.hill, space={"x": X}, direction="maximize", trails=3)
    with pytest.raises(DefinitionError, match=r"\[fixed\] x: it is searched"):
        define(tiny.hill, space={"x": X}, direction="maximize", fixed={"x": 1})


@pytest.mark.parametrize(("parameters", "sampler"), [(1, "random"), (4, "random"), (5, "tpe")])
def test_the_number_of_parameters_chooses_the_sampler(full: Definition, parameters, sampler):
    axes = {f"x{i}": Float(0.0, 1.0) for i in range(parameters)}
    open_ = replace(full, space=Space(axes), search=Search())
    assert open_.sampler == sampler
    assert open_.searching(sampler="qmc").sampler == "qmc"
