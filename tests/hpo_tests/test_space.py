"""The search space: its unit interval, its conditions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.errors import DefinitionError
from hpo.sampling import grid
from hpo.space import Choice, Float, Int, Space, union
from hpo.space_parsing import parse_space

LR = {"low": 1e-6, "high": 1e-2, "log": True}
OPTIMIZER = {"choices": ["sgd", "momentum", "adam"]}
MOMENTUM = {"low": 0.5, "high": 0.99, "when": {"optimizer": "momentum"}}


# The unit interval

floats = st.floats(-1e6, 1e6, allow_subnormal=False)
units = st.floats(0.0, 1.0)


@st.composite
def float_axes(draw):
    if draw(st.booleans()):
        low = 10.0 ** draw(st.floats(-12, 3))
        return Float(low, low * 10.0 ** draw(st.floats(0.01, 6)), log=True)
    low = draw(floats)
    return Float(low, low + max(1e-3, abs(low) * 1e-3) * draw(st.floats(1, 1e4)))


@st.composite
def stepped_axes(draw):
    decimals = draw(st.integers(0, 4))
    low = draw(st.integers(-1000, 1000))
    step = draw(st.integers(1, 50))
    high = low + draw(st.integers(step, 60 * step))  # the step need not divide the range
    unit = 10**decimals
    return Float(low / unit, high / unit, step=step / unit)


@st.composite
def int_axes(draw):
    low = draw(st.integers(1, 300))
    if draw(st.booleans()):
        return Int(low, low + draw(st.integers(1, 300)), log=True)
    low -= 150
    step = draw(st.integers(1, 20))
    high = low + draw(st.integers(step, 300 + step))
    return Int(low, high, step=step if draw(st.booleans()) else None)


choice_axes = st.integers(1, 8).map(lambda n: Choice(tuple(range(n))))


@given(float_axes(), units)
def test_a_real_value_comes_back(axis, u):
    value = axis.from_unit(u)
    assert type(value) is float
    assert axis.contains(value)
    assert axis.to_unit(value) == pytest.approx(u, abs=1e-6)
    assert axis.from_unit(axis.to_unit(value)) == pytest.approx(value, rel=1e-9, abs=1e-9)


@given(st.one_of(stepped_axes(), int_axes()))
def test_every_value_of_a_discrete_axis_comes_back(axis):
    values = axis.values()
    assert values == sorted(set(values))
    assert values[0] == axis.low
    assert axis.high - (axis.step or 1) < values[-1] <= axis.high
    for value in values:
        assert axis.contains(value)
        assert 0 <= axis.to_unit(value) <= 1
        assert axis.from_unit(axis.to_unit(value)) == value


@given(st.one_of(stepped_axes(), int_axes(), choice_axes), units)
def test_a_position_gives_one_of_the_values(axis, u):
    assert axis.from_unit(u) in axis.values()
    assert axis.from_unit(0.0) == axis.values()[0]
    assert axis.from_unit(1.0) == axis.values()[-1]


@given(st.one_of(float_axes(), stepped_axes(), int_axes()), units, units)
def test_the_mapping_rises(axis, u, v):
    low, high = sorted((u, v))
    assert axis.from_unit(low) <= axis.from_unit(high)


@given(st.one_of(stepped_axes(), int_axes(), choice_axes))
def test_every_value_has_an_equal_share(axis):
    if getattr(axis, "log", False):
        return  # shares are equal in logarithms there
    values = axis.values()
    found = [axis.from_unit((i + 0.5) / len(values)) for i in range(len(values))]
    assert found == values


def test_a_log_axis_has_equal_decades():
    axis = Float(1e-6, 1e-2, log=True)
    assert [axis.from_unit(i / 4) for i in range(5)] == pytest.approx(
        [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
    )
    assert axis.to_unit(1e-7) == pytest.approx(-0.25)
    assert axis.to_unit(1.0) == pytest.approx(1.5)


def test_a_whole_number_has_the_share_of_its_interval_in_logarithms():
    axis = Int(1, 8, log=True)
    n = 20_000
    drawn = [axis.from_unit((i + 0.5) / n) for i in range(n)]
    for value in range(1, 9):
        share = math.log((value + 0.5) / (value - 0.5)) / math.log(8.5 / 0.5)
        assert drawn.count(value) / n == pytest.approx(share, abs=1e-3)


def test_steps_are_the_decimals_that_the_user_means():
    assert Float(0.1, 0.5, step=0.1).values() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert Float(1e-14, 3e-14, step=1e-14).values() == [1e-14, 2e-14, 3e-14]
    third = Float(1 / 3, 1.0, step=0.5)
    assert all(third.contains(value) for value in third.values())


@pytest.mark.parametrize(
    ("axis", "count"),
    [
        (Float(0.0, 1.0, step=1e-8), 10**8 + 1),
        (Float(0.0, 1e9, step=1.0), 10**9 + 1),
        (Int(0, 2**53), 2**53 + 1),
        (Int(1, 10**9, log=True), 10**9),
        (Int(0, 10**9, step=7), 10**9 // 7 + 1),
    ],
    ids=str,
)
def test_an_axis_of_many_values_is_never_written_out(axis, count):
    assert axis.count == count
    for index in (0, 1, count // 3, count - 2, count - 1):
        value = axis.value_at(index)
        assert axis.contains(value)
        assert 0 <= axis.to_unit(value) <= 1
        if axis.log is False and count < 2**52:
            assert axis.from_unit(axis.to_unit(value)) == value
    if axis.step is not None:
        assert not axis.contains(axis.value_at(count // 3) + axis.step / 2)
    assert axis.from_unit(0.0) == axis.low
    assert axis.from_unit(1.0) == axis.value_at(count - 1)


@given(st.one_of(stepped_axes(), int_axes(), choice_axes))
def test_values_by_their_place(axis):
    values = axis.values()
    assert [axis.value_at(i) for i in range(axis.count)] == values
    assert [axis.index(value) for value in values] == list(range(axis.count))


@given(st.one_of(stepped_axes(), int_axes()))
def test_the_steps_go_on_outside_the_range(axis):
    for index in (-3, -1, axis.count, axis.count + 2):
        assert axis.index(axis.value_at(index)) == index
    assert axis.value_at(-1) < axis.low
    assert axis.value_at(axis.count) > axis.high


def test_a_grid_of_many_values_is_refused_by_their_number():
    space = parse_space({"x": {"low": 0.0, "high": 1e9, "step": 1.0}, "n": {"low": 0, "high": 9}})
    with pytest.raises(DefinitionError, match=r"has 10000000010 combinations, and .* for 100"):
        grid.size(space, 100)


def test_the_place_of_a_choice():
    choice = Choice(("a", 1, True, 0.5))
    assert [choice.index(value) for value in ("a", 1, 1.0, True, 0.5)] == [0, 1, 1, 2, 3]
    for value in (False, "b", 0, None):
        with pytest.raises(ValueError, match="is none of"):
            choice.index(value)


# Membership


@pytest.mark.parametrize(
    ("axis", "inside", "outside"),
    [
        (Float(0.0, 1.0), [0.0, 0.5, 1.0, 1, 0], [-0.1, 1.1, math.nan, "0.5", True, None]),
        (Int(1, 4), [1, 4], [0, 5, 2.0, True, "2"]),
        (Choice(("a", 1, True)), ["a", 1, 1.0, True], [False, "b", 2, None]),
        (Choice((1, 2)), [1, 2], [True]),
    ],
    ids=str,
)
def test_membership(axis, inside, outside):
    assert all(axis.contains(value) for value in inside)
    assert not any(axis.contains(value) for value in outside)


# Conditions

NESTED = parse_space(
    {
        "eps": {"low": 1e-9, "high": 1e-6, "log": True, "when": {"amsgrad": True}},
        "amsgrad": {"choices": [True, False], "when": {"optimizer": "adam"}},
        "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": ["momentum", "nesterov"]}},
        "optimizer": {"choices": ["sgd", "momentum", "nesterov", "adam"]},
        "lr": LR,
    }
)


def test_parents_come_first():
    assert NESTED.parents_first() == ["optimizer", "amsgrad", "eps", "momentum", "lr"]
    assert NESTED.conditional == ["eps", "amsgrad", "momentum"]


@pytest.mark.parametrize(
    ("params", "valid"),
    [
        ({"optimizer": "sgd", "lr": 1e-3}, True),
        ({"optimizer": "momentum", "momentum": 0.9, "lr": 1e-3}, True),
        ({"optimizer": "adam", "amsgrad": False, "lr": 1e-3}, True),
        ({"optimizer": "adam", "amsgrad": True, "eps": 1e-8, "lr": 1e-3}, True),
        ({"optimizer": "sgd", "lr": 1e-3, "momentum": 0.9}, False),
        ({"optimizer": "momentum", "lr": 1e-3}, False),
        ({"optimizer": "adam", "amsgrad": 1, "eps": 1e-8, "lr": 1e-3}, False),
        ({"optimizer": "sgd", "amsgrad": True, "eps": 1e-8, "lr": 1e-3}, False),
        ({"optimizer": "sgd", "lr": 1e-1}, False),
        ({"optimizer": "sgd"}, False),
        ({"optimizer": "sgd", "lr": 1e-3, "other": 1}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_space_holds_what_exists_and_no_more(params, valid):
    assert NESTED.contains(params) is valid


@given(st.lists(units, min_size=5, max_size=5))
def test_every_point_of_the_cube_is_a_setting(position):
    params = NESTED.from_unit(position)
    assert NESTED.contains(params)
    assert list(params) == [name for name in NESTED if name in params]
    # What does not exist never shifts what does.
    assert params["lr"] == NESTED["lr"].from_unit(position[4])


def test_a_point_needs_a_coordinate_for_each_axis():
    with pytest.raises(ValueError, match="shorter"):
        NESTED.from_unit([0.5] * 4)


def test_two_conditions_may_share_a_parent():
    space = parse_space(
        {
            "a": {"choices": [0, 1]},
            "b": {"choices": [0, 1], "when": {"a": 1}},
            "c": {"choices": [0, 1], "when": {"a": 1}},
            "x": {"low": 0.0, "high": 1.0, "when": {"a": 1, "b": 1, "c": 1}},
        }
    )
    assert space.from_unit([1.0, 1.0, 1.0, 1.0]) == {"a": 1, "b": 1, "c": 1, "x": 1.0}
    assert space.from_unit([1.0, 1.0, 0.0, 1.0]) == {"a": 1, "b": 1, "c": 0}


# Fixing and replacing


def test_fixing_takes_a_parameter_out():
    space = parse_space({"optimizer": OPTIMIZER, "momentum": MOMENTUM, "lr": LR})
    assert list(space.fixing("lr", 0.1)) == ["optimizer", "momentum"]
    # The condition is met for good, so it is gone; or never met, so the parameter is.
    always = space.fixing("optimizer", "momentum")
    assert always["momentum"] == Float(0.5, 0.99)
    assert list(always) == ["momentum", "lr"]
    assert list(space.fixing("optimizer", "sgd")) == ["lr"]
    assert list(space) == ["optimizer", "momentum", "lr"]


def test_fixing_takes_the_children_of_what_is_dropped_along():
    assert list(NESTED.fixing("optimizer", "sgd")) == ["lr"]
    adam = NESTED.fixing("optimizer", "adam")
    assert list(adam) == ["eps", "amsgrad", "lr"]
    assert adam.conditional == ["eps"]
    assert list(adam.fixing("amsgrad", True)) == ["eps", "lr"]
    assert list(NESTED.fixing("amsgrad", False)) == ["momentum", "optimizer", "lr"]


def test_fixing_keeps_the_other_conditions():
    space = Space(
        {
            "a": Choice((0, 1)),
            "b": Choice((0, 1)),
            "x": Float(0.0, 1.0, when={"a": (1,), "b": (1,)}),
        }
    )
    assert space.fixing("a", 1)["x"] == Float(0.0, 1.0, when={"b": (1,)})


# The union of the spaces of a study


def test_a_union_holds_the_settings_of_all_its_spaces():
    first = parse_space({"lr": LR, "optimizer": OPTIMIZER, "momentum": MOMENTUM})
    second = parse_space(
        {"lr": {"low": 1e-3, "high": 1.0, "log": True}, "optimizer": {"choices": ["adam", "sgd"]}}
    )
    both = union([first, second])
    assert (both["lr"].low, both["lr"].high) == (1e-6, 1.0)
    assert both["optimizer"] == first["optimizer"]  # whose order stays
    assert both["momentum"] == first["momentum"]
    assert union([first]) == first


@pytest.mark.parametrize(
    ("low", "step"), [(20, 10), (15, None)], ids=["on the steps", "between them"]
)
def test_a_union_keeps_a_step_that_fits_both(low, step):
    first = Space({"n": Int(10, 50, step=10), "z": Float(0.1, 0.5, step=0.1)})
    second = Space({"n": Int(low, 70, step=10), "z": Float(low / 100, 0.7, step=0.1)})
    both = union([first, second])
    assert both["n"] == Int(10, 70, step=step)
    for space in (first, second):
        for name, axis in space.axes.items():
            assert all(both[name].contains(value) for value in axis.values())
