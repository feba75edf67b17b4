"""What every sampler promises, one test per promise, over all samplers and kinds of space."""

import copy
import importlib.util
import json
import os
import random
import subprocess
import sys

import pytest

from hpo.errors import DefinitionError
from hpo.sampling import (
    GIVEN,
    SAMPLERS,
    UNIFORM,
    Request,
    check,
    needs_evidence,
    run_seed,
    suggest,
)
from hpo.space import Space
from hpo.space_parsing import parse_space
from hpo.trial import Trial, TrialState

NO_TORCH = importlib.util.find_spec("torch") is None
NEEDS_TORCH = pytest.mark.skipif(NO_TORCH, reason="the gp extra (torch) is not installed")


def marked(*values):
    return pytest.param(*values, marks=[NEEDS_TORCH] if values[0] == "gp" else [])


def over(names):
    return pytest.mark.parametrize("sampler", [marked(name) for name in names])


BOOK = {
    "lr": {"low": 1e-6, "high": 1e-2, "log": True},
    "weight_decay": {"low": 1e-8, "high": 1e-4, "log": True},
}
MIXED = {
    **BOOK,
    "dropout": {"low": 0.1, "high": 0.4, "step": 0.1},
    "noise": {"low": -1.0, "high": 1.0},
    "layers": {"low": 2, "high": 4},
    "width": {"low": 16, "high": 70, "step": 16},  # the step does not divide the range
    "batch": {"low": 1, "high": 8, "log": True},
    "optimizer": {"choices": ["sgd", "adam"]},
    "odd": {"choices": [True, 1.5, 7, "seven"]},
}
UNDER_CONDITION = {
    # A child before its parent, a grandchild, and one name that sorts before all others.
    "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "momentum"}},
    "optimizer": {"choices": ["sgd", "momentum", "adam"]},
    "lr": {"low": 1e-6, "high": 1e-2, "log": True},
    "amsgrad": {"choices": [True, False], "when": {"optimizer": "adam"}},
    "Aeps": {"low": 1e-9, "high": 1e-6, "log": True, "when": {"amsgrad": True}},
    "width": {"low": 16, "high": 256, "step": 16},
}
SPACES = {"book": BOOK, "mixed": MIXED, "conditional": UNDER_CONDITION}
SETTINGS = 6000  # more than the discrete part of MIXED has combinations


def space_of(name: str) -> Space:
    return parse_space(SPACES[name])


def request(
    space: Space, setting: int = 40, seed: int = 3, stage: int = 2, direction: str = "maximize"
) -> Request:
    return Request(space, seed, stage, setting, SETTINGS, direction)


def evidence_in(space: Space, stage: int = 2, trials: int = 30, seed: int = 0) -> list[Trial]:
    """Trials of every state, in slot order."""
    rng = random.Random(seed)
    rows = []
    for number in range(trials):
        state = TrialState.COMPLETE
        if number % 7 == 3:
            state = TrialState.PRUNED
        elif number % 11 == 5:
            state = TrialState.FAIL
        elif number >= trials - 2:
            state = TrialState.RUNNING
        valued = state in (TrialState.COMPLETE, TrialState.PRUNED)
        rows.append(
            Trial(
                stage=stage,
                number=number,
                state=state,
                params=space.from_unit([rng.random() for _ in space]),
                value=rng.random() if valued else None,
                steps=number,
                diverged_at=4 if number % 9 == 0 else None,
            )
        )
    return rows


PAIRS = [
    (sampler, space)
    for sampler in SAMPLERS
    for space in SPACES
    if not (sampler in ("qmc", "grid") and space == "conditional")
]
every_pair = pytest.mark.parametrize(
    ("sampler", "space_name"), [marked(*values) for values in PAIRS]
)


@every_pair
def test_settings_lie_inside_the_space_in_declared_order_and_native_types(sampler, space_name):
    space = space_of(space_name)
    for setting in range(0, 40, 5 if sampler == "gp" else 1):
        rows = evidence_in(space, trials=setting) if needs_evidence(sampler) else []
        params = suggest(sampler, request(space, setting), rows)
        assert space.contains(params)
        assert list(params) == [name for name in space if name in params]
        assert {type(value) for value in params.values()} <= {int, float, str, bool}
        for name, value in params.items():
            if space[name].discrete:
                assert any(value is v or value == v for v in space[name].values())
        assert json.loads(json.dumps(params)) == params


@every_pair
def test_the_same_inputs_give_the_same_setting(sampler, space_name):
    space = space_of(space_name)
    rows = evidence_in(space)
    first = suggest(sampler, request(space), rows)
    suggest(sampler, request(space, setting=5, seed=9), rows[:12])  # a call between leaves no trace
    assert suggest(sampler, request(space), rows) == first


@every_pair
def test_the_order_of_the_evidence_is_irrelevant(sampler, space_name):
    space = space_of(space_name)
    rows = evidence_in(space, stage=1, seed=1) + evidence_in(space)
    shuffled = random.Random(2).sample(rows, len(rows))
    assert suggest(sampler, request(space), rows) == suggest(sampler, request(space), shuffled)


@every_pair
def test_the_evidence_is_left_as_it_was(sampler, space_name):
    space = space_of(space_name)
    rows = evidence_in(space)
    before = copy.deepcopy(rows)
    suggest(sampler, request(space), rows)
    assert rows == before


@every_pair
def test_settings_differ_from_each_other(sampler, space_name):
    space = space_of(space_name)
    rows = evidence_in(space)
    settings = range(8)
    drawn = [tuple(suggest(sampler, request(space, i), rows).values()) for i in settings]
    assert len(set(drawn)) == len(settings)


@every_pair
def test_seeds_and_stages_differ_from_each_other(sampler, space_name):
    if sampler == "grid":
        pytest.skip("a grid is the same for every seed")
    space = space_of(space_name)
    base = suggest(sampler, request(space), [])
    assert suggest(sampler, request(space, seed=4), []) != base
    assert suggest(sampler, request(space, stage=3), []) != base


@every_pair
def test_a_narrowed_space_is_respected_although_the_evidence_lies_outside(sampler, space_name):
    wide = space_of(space_name)
    narrow = parse_space({**SPACES[space_name], "lr": {"low": 1e-3, "high": 3e-3, "log": True}})
    rows = evidence_in(wide, stage=1, trials=60) + evidence_in(wide, trials=30)
    assert any(narrow.contains(t.params) for t in rows)
    assert not all(narrow.contains(t.params) for t in rows)
    inside = [t for t in rows if narrow.contains(t.params)]
    for setting in range(30, 38, 4 if sampler == "gp" else 1):
        params = suggest(sampler, request(narrow, setting), rows)
        assert narrow.contains(params)
        assert suggest(sampler, request(narrow, setting), inside) == params


@every_pair
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_direction_only_turns_the_values_round(sampler, space_name, direction):
    space = space_of(space_name)
    rows = evidence_in(space)
    turned = [
        Trial(t.stage, t.number, t.state, t.params, None if t.value is None else -t.value)
        for t in rows
    ]
    rows = [Trial(t.stage, t.number, t.state, t.params, t.value) for t in rows]
    other = {"minimize": "maximize", "maximize": "minimize"}[direction]
    one = suggest(sampler, request(space, direction=direction), rows)
    assert suggest(sampler, request(space, direction=other), turned) == pytest.approx(one)


@over(s for s in SAMPLERS if s not in UNIFORM)
def test_samplers_that_learn_use_values_and_running_trials(sampler):
    space = space_of("book")
    rng = random.Random(0)
    points = [space.from_unit([rng.random(), rng.random()]) for _ in range(25)]
    rows = [Trial(2, i, TrialState.COMPLETE, p, p["lr"]) for i, p in enumerate(points)]
    other = [Trial(2, i, TrialState.COMPLETE, p, -p["lr"]) for i, p in enumerate(points)]
    assert suggest(sampler, request(space), rows) != suggest(sampler, request(space), other)


@pytest.mark.parametrize("sampler", sorted(UNIFORM))
def test_uniform_samplers_ignore_the_evidence(sampler):
    space = space_of("mixed")
    with_evidence = suggest(sampler, request(space), evidence_in(space))
    assert suggest(sampler, request(space), []) == with_evidence
    assert not needs_evidence(sampler)


@over(SAMPLERS)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_a_trial_without_a_finite_value_is_passed_over(sampler, value):
    space = space_of("book")
    rows = evidence_in(space)
    lost = Trial(2, 99, TrialState.COMPLETE, space.from_unit([0.5, 0.5]), value)
    assert suggest(sampler, request(space), [*rows, lost]) == suggest(sampler, request(space), rows)


@over(SAMPLERS)
@pytest.mark.parametrize("state", list(TrialState))
def test_a_row_without_parameters_is_passed_over(sampler, state):
    space = space_of("book")
    empty = Trial(2, 40, state, {}, 0.5)
    assert space.contains(suggest(sampler, request(space), [*evidence_in(space), empty]))


@over(SAMPLERS)
def test_equal_values_are_no_trouble(sampler):
    space = space_of("mixed")
    rng = random.Random(0)
    rows = [
        Trial(2, i, TrialState.COMPLETE, space.from_unit([rng.random() for _ in space]), 0.1)
        for i in range(30)
    ]
    assert space.contains(suggest(sampler, request(space), rows))


@over(SAMPLERS)
@pytest.mark.parametrize(
    "axis",
    [
        {"low": 0.0, "high": 1.0},
        {"low": 1, "high": 4},
        {"low": 0.0, "high": 1.0, "step": 0.25},
        {"choices": ["a", "b"]},
        {"choices": ["only"]},
        {"low": 3, "high": 8, "step": 5},
    ],
    ids=str,
)
def test_one_parameter_is_a_space_too(sampler, axis):
    space = parse_space({"x": axis})
    if sampler == "cmaes" and "choices" in axis:
        with pytest.raises(DefinitionError, match="cmaes sampler needs a parameter with low"):
            check(sampler, space, 10)
        return
    assert check(sampler, space, 10) <= 10
    rng = random.Random(0)
    rows = []
    for i in range(24):
        one = Request(space, 0, 1, i % check(sampler, space, 10), 10, "minimize")
        params = suggest(sampler, one, rows)
        assert space.contains(params)
        rows.append(Trial(1, i, TrialState.COMPLETE, params, rng.random()))


@over(s for s in SAMPLERS if s not in ("qmc", "grid"))
def test_conditional_parameters_take_all_their_values(sampler):
    space = space_of("conditional")
    seen = set()
    for setting in range(60):
        params = suggest(sampler, request(space, setting), [])
        seen.add(frozenset(params))
    everywhere = {"optimizer", "lr", "width"}
    assert seen == {
        frozenset(everywhere | more)
        for more in (set(), {"momentum"}, {"amsgrad"}, {"amsgrad", "Aeps"})
    }


@over(SAMPLERS)
@pytest.mark.parametrize("space_name", list(SPACES))
def test_check_passes_or_says_what_does_not_fit(sampler, space_name):
    space = space_of(space_name)
    if sampler in ("qmc", "grid") and space_name == "conditional":
        with pytest.raises(DefinitionError, match=rf"momentum: the {sampler} .* use random, tpe"):
            check(sampler, space, SETTINGS)
    else:
        assert 0 < check(sampler, space, SETTINGS) <= SETTINGS


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_check_refuses_an_empty_space(sampler):
    with pytest.raises(DefinitionError, match="is empty"):
        check(sampler, Space({}), 10)


# What `confirm` has in the place of a sampler


@pytest.mark.parametrize("space_name", list(SPACES))
def test_given_settings_come_in_their_order_whatever_the_evidence(space_name):
    space = space_of(space_name)
    rng = random.Random(0)
    given = [space.from_unit([rng.random() for _ in space]) for _ in range(4)]
    turned = [dict(reversed(params.items())) for params in given]
    for setting, params in enumerate(given):
        one = Request(space, 3, 2, setting, 4, "maximize", replicates=5, given=turned)
        drawn = suggest(GIVEN, one, evidence_in(space))
        assert drawn == params == suggest(GIVEN, one, [])
        assert list(drawn) == list(params)
        assert space.contains(drawn)
        drawn.clear()
    assert turned == given  # what was given is left as it was
    assert not needs_evidence(GIVEN)


def test_nobody_can_choose_them():
    assert GIVEN not in SAMPLERS
    with pytest.raises(DefinitionError, match="there is no sampler 'given'"):
        check(GIVEN, space_of("book"), 10)


# A program of its own, so that the other process shares nothing but the code. It draws with all
# samplers over all spaces and prints what it got.
ELSEWHERE = """
import importlib.util, json, sys
specification = importlib.util.spec_from_file_location("contract", sys.argv[1])
contract = importlib.util.module_from_spec(specification)
specification.loader.exec_module(contract)
print(json.dumps(contract.everything()))
"""


def everything():
    found = {}
    for sampler, space_name in PAIRS:
        if sampler == "gp" and NO_TORCH:
            continue
        space = space_of(space_name)
        rows = evidence_in(space, stage=1, seed=1) + evidence_in(space)
        for setting in (0, 40):
            params = suggest(sampler, request(space, setting), rows)
            found[f"{sampler} {space_name} {setting}"] = params
    found["run_seed"] = [run_seed(0, 1, unit) for unit in range(5)]
    return found


def test_another_process_with_another_hash_seed_gives_the_same():
    here = everything()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE, __file__],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == here
        assert done.stderr == ""


def test_importing_the_package_imports_no_library():
    program = (
        "import sys, hpo.sampling\n"
        "heavy = {'numpy', 'scipy', 'optuna', 'cmaes', 'torch'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
