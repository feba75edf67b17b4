"""Positions on an axis, and edges that are legal and read well."""

import math

import pytest
from made_trials import LR, UNIT, ends

from hpo.narrowing import default_limits
from hpo.narrowing.ruler import cell, grown, shrunk, text
from hpo.space import Axis, Choice, Float, Int, Space


@pytest.mark.parametrize(
    ("axis", "limits"),
    [
        (LR, (1e-8, 1.0)),
        (Float(0.0, 0.5), (0.0, 1.0)),
        (Float(-1.0, 1.0), (-3.0, 3.0)),
        (Float(0.3, 0.5), (0.1, 0.7)),
        (Int(1, 5), (1, 9)),
        (Int(0, 5), (0, 10)),
        (Int(-2, 2), (-6, 6)),
        (Int(8, 512, log=True), (1, 51200)),
    ],
)
def test_default_limits(axis: Axis, limits: tuple[float, float]) -> None:
    space = Space({"x": axis, "kind": Choice(("a", "b"))})
    assert default_limits(space) == {"x": pytest.approx(limits)}


@pytest.mark.parametrize(
    ("axis", "value", "written"),
    [
        (LR, 1e-2, "1e-02"),
        (LR, 2.5e-3, "2.5e-03"),
        (LR, 1.0, "1e+00"),
        (UNIT, 0.3, "0.3"),
        (Int(1, 9), 4, "4"),
        (Int(1, 9_000_000), 1_234_567, "1234567"),
    ],
)
def test_values_are_written_as_on_the_screens(
    axis: Float | Int, value: float, written: str
) -> None:
    assert text(axis, value) == written


def test_rounding_reads_well_and_leaves_out_no_value() -> None:
    for i in range(1, 100):
        assert ends(shrunk(UNIT, (i / 101, 1.0), (1.0, 1.0)))[0] <= i / 101
    decade = Float(1e-8, 1e8, log=True)
    for i in range(1, 16):  # exp and log miss some of these by a rounding
        assert ends(shrunk(decade, (i / 16, 1.0), (1e8, 1e8)))[0] == float(f"1e{i - 8}")
        assert ends(shrunk(decade, (0.0, i / 16), (1e-8, 1e-8)))[1] == float(f"1e{i - 8}")
    just_below, just_above = 0.3 - 1e-13, 0.7 + 1e-13
    cut = shrunk(UNIT, (just_below, just_above), (just_below, just_above))
    assert ends(cut) == (just_below, just_above)


@pytest.mark.parametrize(
    "axis",
    [
        Int(1, 9),
        Int(3, 40, log=True),
        Int(16, 256, step=16),
        Int(0, 10, step=3),
        Float(0.0, 1.0, step=0.1),
        Float(0.1, 1.0, step=0.4),
    ],
)
def test_a_cell_is_what_is_drawn_as_its_value(axis: Int | Float) -> None:
    cells = [cell(axis, value) for value in axis.values()]
    assert cells[0][0] == pytest.approx(0)
    assert cells[-1][1] == pytest.approx(1)
    for value, (low, high) in zip(axis.values(), cells, strict=True):
        assert axis.from_unit((low + high) / 2) == value
        assert axis.from_unit(low + 1e-6) == value
        assert axis.from_unit(high - 1e-6) == value
        kept = shrunk(axis, (low + 1e-6, high - 1e-6), (value, value))
        assert ends(kept)[0] == value
        assert ends(kept)[1] in (value, axis.high)


@pytest.mark.parametrize(
    ("axis", "new_high"),
    [
        (Float(1e-9, 1e-1, log=True), 10.0),  # eight decades: two, not four
        (Float(1e-3, 1e-1, log=True), 1.0),
        (Float(0.0, 0.5), 0.75),
        (Int(1, 100), 150),
        (Int(16, 256, step=16), 384),  # 16 values: 8 more
        (Int(1, 4), 6),
        (Int(1, 2), 3),
        (Int(1, 1000, log=True), 31_654),
        (Float(0.0, 1.0, step=0.25), 1.5),  # 5 values: 2 more
        (Float(0.0, 1.1, step=0.25), 1.5),  # counted from the last value that there is
    ],
)
def test_the_upper_edge_moves_by_half_the_width(axis: Float | Int, new_high: float) -> None:
    new = grown(axis, axis, "upper", (0, 1e9))
    if axis == Int(1, 1000, log=True):
        assert isinstance(new, Int)
        assert new.high == math.floor(1000.5 * math.sqrt(1000.5 / 0.5) - 0.5)
    else:
        assert ends(new)[1] == new_high


@pytest.mark.parametrize(
    ("axis", "new_low"),
    [
        (Float(1e-4, 1.0, log=True), 1e-6),
        (Float(1.0, 2.0), 0.5),
        (Int(10, 19), 5),
        (Int(64, 256, step=16), 0),  # 13 values: 6 more would be -32
        (Float(1.0, 2.0, step=0.25), 0.5),
        (Int(8, 9, log=True), 7),  # at least one
        (Int(1, 100, log=True), 1),  # whatever the limit is, a logarithm needs it
        (Int(8, 1000, log=True), 2),  # 7.5 / √(1000.5 / 7.5) = 0.65 is in the cell of 1
    ],
)
def test_the_lower_edge_moves_by_half_the_width(axis: Float | Int, new_low: float) -> None:
    new = grown(axis, axis, "lower", (0, 1e9))
    assert ends(new)[0] == new_low


def test_a_limit_stops_widening() -> None:
    assert ends(grown(LR, LR, "upper", (1e-8, 0.05)))[1] == 0.05
    assert grown(LR, LR, "upper", (1e-5, 1e-2)) == LR
    steps = Int(16, 256, step=16)
    assert ends(grown(steps, steps, "upper", (0, 300)))[1] == 288
    assert grown(steps, steps, "upper", (0, 260)) == steps


def test_what_was_cut_on_the_other_side_stays_cut() -> None:
    cut = Float(1e-4, 1e-2, log=True)
    assert ends(grown(LR, cut, "upper", (1e-8, 1e9))) == (1e-4, 1.0)
