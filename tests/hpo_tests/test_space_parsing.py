"""Reading a space: what is understood, and a sentence for everything else."""

import json
import math

import pytest

from hpo.errors import DefinitionError
from hpo.space import Choice, Float, Int
from hpo.space_parsing import parse_space

LR = {"low": 1e-6, "high": 1e-2, "log": True}
OPTIMIZER = {"choices": ["sgd", "momentum", "adam"]}
MOMENTUM = {"low": 0.5, "high": 0.99, "when": {"optimizer": "momentum"}}


def test_the_kinds_of_axes():
    space = parse_space(
        {
            "lr": LR,
            "dropout": {"low": 0, "high": 0.5},
            "width": {"low": 16, "high": 256, "step": 16},
            "batch": {"low": 8, "high": 128, "log": True},
            "share": {"low": 0, "high": 1, "step": 0.25},
            "optimizer": {"choices": ["sgd", "adam"]},
        }
    )
    assert dict(space.axes) == {
        "lr": Float(1e-6, 1e-2, log=True),
        "dropout": Float(0.0, 0.5),
        "width": Int(16, 256, step=16),
        "batch": Int(8, 128, log=True),
        "share": Float(0.0, 1.0, step=0.25),
        "optimizer": Choice(("sgd", "adam")),
    }
    assert list(space) == list(space.axes)
    assert len(space) == 6
    assert space["width"] == space.axes["width"]
    assert {name for name in space if space[name].discrete} == {
        "width",
        "batch",
        "share",
        "optimizer",
    }


def ranged(**changes):
    return {"x": {"low": 1.0, "high": 2.0, **changes}}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, r"\[space\] is empty: name at least one parameter"),
        ({"x": 0.1}, r"\[space\] x: 0.1 is not a range. Write .* under \[fixed\]"),
        ({"x": [1, 2]}, r"\[space\] x: \[1, 2\] is not a range"),
        ({"x": {"low": 1}}, r"\[space\] x: high is missing; a range needs low and high"),
        ({"x": {"high": 1}}, r"\[space\] x: low is missing"),
        ({"x": {}}, r"\[space\] x: low is missing"),
        (ranged(low="a"), r"\[space\] x: low \('a'\) is not a finite number"),
        (ranged(low=True), r"\[space\] x: low \(True\) is not a finite number"),
        (ranged(high=math.inf), r"\[space\] x: high \(inf\) is not a finite number"),
        (ranged(low=math.nan), r"\[space\] x: low \(nan\) is not a finite number"),
        (ranged(low=2.0), r"\[space\] x: low \(2.0\) is not below high \(2.0\)"),
        (ranged(low=3.0), r"\[space\] x: low \(3.0\) is not below high \(2.0\)"),
        (ranged(log="yes"), r"\[space\] x: log \('yes'\) is not true or false"),
        (ranged(log=1), r"\[space\] x: log \(1\) is not true or false"),
        (ranged(log=True, low=0), r"\[space\] x: low \(0\) must be above 0 on a log axis"),
        (ranged(log=True, low=-1), r"\[space\] x: low \(-1\) must be above 0 on a log axis"),
        (ranged(log=True, step=0.1), r"\[space\] x: log and step do not go together"),
        (ranged(step=0), r"\[space\] x: step \(0\) is not a number above 0"),
        (ranged(step=-0.1), r"\[space\] x: step \(-0.1\) is not a number above 0"),
        (ranged(step="a"), r"\[space\] x: step \('a'\) is not a number above 0"),
        (ranged(step=True), r"\[space\] x: step \(True\) is not a number above 0"),
        (ranged(step=math.inf), r"\[space\] x: step \(inf\) is not a number above 0"),
        (ranged(step=1.5), r"\[space\] x: step \(1.5\) is larger than the range 1.0 to 2.0"),
        (ranged(step=1e-16), r"step \(1e-16\) is too small for a float near 2.0"),
        (ranged(low=0, high=2**53 + 1), r"\[space\] x: high is a whole number beyond 2\*\*53"),
        (ranged(low=-(10**400)), r"\[space\] x: low is a whole number beyond 2\*\*53"),
        (ranged(low=-1e308, high=1e308), r"\[space\] x: from -1e\+308 to 1e\+308 is too far"),
        ({"x\x1b[2J": {}}, r"\[space\] 'x\\x1b\[2J': a name must be printable"),
        ({"": {}}, r"\[space\] '': a name must be printable"),
        ({"x": {"choices": ["a\x07"]}}, r"\[space\] x: the choice 'a\\x07' has characters"),
        (ranged(hgih=3), r"\[space\] x: unknown key 'hgih'; allowed are low, high, log, step"),
        ({"x": {"choices": ["a"], "low": 1}}, r"unknown key 'low'; allowed are choices, when"),
        ({"x": {"choices": []}}, r"\[space\] x: choices \(\[\]\) is not a list with at least"),
        ({"x": {"choices": "ab"}}, r"\[space\] x: choices \('ab'\) is not a list"),
        ({"x": {"choices": ["a", "a"]}}, r"\[space\] x: the choice 'a' is there twice"),
        ({"x": {"choices": [1, 1.0]}}, r"\[space\] x: the choice 1.0 is there twice"),
        ({"x": {"choices": [[1]]}}, r"\[space\] x: the choice \[1\] is not a string, a number"),
        ({"x": {"choices": [None]}}, r"\[space\] x: the choice None is not a string"),
        ({"x": {"choices": [math.nan]}}, r"\[space\] x: the choice nan is not finite"),
        (ranged(when="adam"), r"\[space\] x: when \('adam'\) is not a condition such as"),
        (ranged(when={}), r"\[space\] x: when \({}\) is not a condition"),
        (ranged(when={"y": "a"}), r"\[space\] x: when names 'y', which is not a parameter of"),
        (
            {**ranged(when={"y": 1}), "y": {"low": 1, "high": 2}},
            r"\[space\] x: when names 'y', which is not a parameter with choices",
        ),
        (
            {**ranged(when={"optimizer": "Adam"}), "optimizer": OPTIMIZER},
            r"when names 'optimizer' = 'Adam', which is none of its choices "
            r"\('sgd', 'momentum', 'adam'\)",
        ),
        (
            {**ranged(when={"flag": 1}), "flag": {"choices": [True, False]}},
            r"when names 'flag' = 1, which is none of its choices \(True, False\)",
        ),
        (
            {**ranged(when={"optimizer": []}), "optimizer": OPTIMIZER},
            r"\[space\] x: when names 'optimizer' without a value",
        ),
        (
            {"x": {"choices": ["a"], "when": {"x": "a"}}},
            r"\[space\] x: its condition depends on itself",
        ),
        (
            {
                "x": {"choices": ["a"], "when": {"y": "a"}},
                "y": {"choices": ["a"], "when": {"z": "a"}},
                "z": {"choices": ["a"], "when": {"x": "a"}},
            },
            r"\[space\] x: its condition depends on itself",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_named(raw, message):
    with pytest.raises(DefinitionError, match=message):
        parse_space(raw)


def test_true_and_one_are_two_choices():
    assert parse_space({"x": {"choices": [True, 1, "1"]}})["x"] == Choice((True, 1, "1"))


def test_a_space_is_written_as_it_is_read():
    raw = {
        "optimizer": OPTIMIZER,
        "lr": LR,
        "momentum": {**MOMENTUM, "log": False, "when": {"optimizer": ["momentum"]}},
        "width": {"low": 16, "high": 256, "log": False, "step": 16},
    }
    written = parse_space(raw).to_json()
    assert written == raw
    assert parse_space(json.loads(json.dumps(written))) == parse_space(raw)
