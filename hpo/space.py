"""The search space: parameters and their ranges.

Every axis maps the unit interval onto its values (`from_unit`) and back (`to_unit`); log axes do
so in logarithms, as the book draws `10 ** uniform(-6, -2)`. Samplers, the grid and `narrow` all
work on the unit interval and meet a real value only here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

Scalar = str | int | float | bool
When = Mapping[str, tuple[Scalar, ...]]
"""Condition of an axis: it exists only while each named choice has one of these values."""


@dataclass(frozen=True)
class Float:
    """A real parameter in [low, high].

    Args:
        low: Lower limit, included.
        high: Upper limit, included.
        log: Whether the parameter is searched in logarithms; low must then be positive.
        step: Distance of the allowed values, counted from low; None allows every value.
        when: The condition under which the parameter exists.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: When | None = None

    def from_unit(self, u: float) -> float:
        """Return the value at position u in [0, 1]."""
        if self.step is not None:
            count = self.count
            return self.value_at(min(int(u * count), count - 1))
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            value = math.exp(low + u * (high - low))
        else:
            value = self.low + u * (self.high - self.low)
        return min(max(value, self.low), self.high)  # exp(log(x)) may miss x by a rounding

    def to_unit(self, value: float) -> float:
        """Return the position of a value; outside [0, 1] for a value outside the range.

        A value of a stepped axis is at the middle of its share.
        """
        if self.step is not None:
            return ((value - self.low) / self.step + 0.5) / self.count
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def contains(self, value: Any) -> bool:
        """Return whether a value lies in the range, and on its steps."""
        if not is_number(value) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        index = self.index(value)
        # The first bound forgives a value that was computed, the second a step of many digits.
        return index < self.count and math.isclose(
            value, self.value_at(index), rel_tol=2**-52, abs_tol=1e-6 * self.step
        )

    @property
    def discrete(self) -> bool:
        """Whether the axis has a finite list of values."""
        return self.step is not None

    @property
    def count(self) -> int:
        """Number of values of a stepped axis."""
        assert self.step is not None
        low, high, step = _decimal(self.low), _decimal(self.high), _decimal(self.step)
        return int((high - low) // step) + 1

    def index(self, value: float) -> int:
        """Return the place of the value nearest to a number; the inverse of `value_at`."""
        assert self.step is not None
        return round((_decimal(value) - _decimal(self.low)) / _decimal(self.step))

    def value_at(self, index: int) -> float:
        """Return a value of a stepped axis by its place, from 0; past the ends the steps go on."""
        assert self.step is not None
        return float(_decimal(self.low) + index * _decimal(self.step))

    def values(self) -> list[float]:
        """Return all values of a stepped axis, rising; there may be more than memory holds."""
        return [self.value_at(i) for i in range(self.count)]

    def to_json(self) -> dict[str, Any]:
        """Return the axis as a definition writes it."""
        return _to_json(self, {"low": float(self.low), "high": float(self.high), "log": self.log})


@dataclass(frozen=True)
class Int:
    """A whole-number parameter in [low, high]; arguments as for `Float`."""

    low: int
    high: int
    log: bool = False
    step: int | None = None
    when: When | None = None

    def from_unit(self, u: float) -> int:
        """Return the value at position u in [0, 1]; every value has an equal share.

        On a log axis a value v has the share of [v − ½, v + ½] in logarithms.
        """
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            value = round(math.exp(low + u * (high - low)))
            return min(max(value, self.low), self.high)
        return self.value_at(min(int(u * self.count), self.count - 1))

    def to_unit(self, value: float) -> float:
        """Return the position of a value; outside [0, 1] for a value outside the range."""
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return (math.log(max(value, 0.5)) - low) / (high - low)
        return ((value - self.low) / (self.step or 1) + 0.5) / self.count

    def contains(self, value: Any) -> bool:
        """Return whether a value lies in the range, and on its steps."""
        return (
            isinstance(value, int)
            and is_number(value)
            and self.low <= value <= self.high
            and (value - self.low) % (self.step or 1) == 0
        )

    @property
    def discrete(self) -> bool:
        """Whether the axis has a finite list of values."""
        return True

    @property
    def count(self) -> int:
        """Number of values."""
        return (self.high - self.low) // (self.step or 1) + 1

    def index(self, value: float) -> int:
        """Return the place of the value nearest to a number; the inverse of `value_at`."""
        return round((value - self.low) / (self.step or 1))

    def value_at(self, index: int) -> int:
        """Return a value by its place, from 0; past the ends the steps go on."""
        return self.low + index * (self.step or 1)

    def values(self) -> list[int]:
        """Return all values, rising; there may be more than memory holds."""
        return list(range(self.low, self.high + 1, self.step or 1))

    def to_json(self) -> dict[str, Any]:
        """Return the axis as a definition writes it."""
        return _to_json(self, {"low": self.low, "high": self.high, "log": self.log})


@dataclass(frozen=True)
class Choice:
    """A parameter with a list of values that have no order.

    Args:
        choices: The values, each once: strings, numbers or booleans.
        when: The condition under which the parameter exists.
    """

    choices: tuple[Scalar, ...]
    when: When | None = None

    def from_unit(self, u: float) -> Scalar:
        """Return the value at position u in [0, 1]; every value has an equal share."""
        return self.value_at(min(int(u * self.count), self.count - 1))

    def contains(self, value: Any) -> bool:
        """Return whether a value is one of the choices."""
        return any(_same(value, choice) for choice in self.choices)

    def index(self, value: Any) -> int:
        """Return the place of a choice, from 0; True is not the choice 1.

        Raises:
            ValueError: It is none of the choices.
        """
        for i, choice in enumerate(self.choices):
            if _same(value, choice):
                return i
        raise ValueError(f"{value!r} is none of {self.choices!r}")

    @property
    def discrete(self) -> bool:
        """Whether the axis has a finite list of values."""
        return True

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.choices)

    def value_at(self, index: int) -> Scalar:
        """Return a value by its place, from 0."""
        return self.choices[index]

    def values(self) -> list[Scalar]:
        """Return all values in their order."""
        return list(self.choices)

    def to_json(self) -> dict[str, Any]:
        """Return the axis as a definition writes it."""
        return _to_json(self, {"choices": list(self.choices)})


Axis = Float | Int | Choice


@dataclass(frozen=True)
class Space:
    """The parameters of a stage, by name, in the order of their declaration."""

    axes: Mapping[str, Axis]

    def __iter__(self) -> Iterator[str]:
        return iter(self.axes)

    def __len__(self) -> int:
        return len(self.axes)

    def __getitem__(self, name: str) -> Axis:
        return self.axes[name]

    @property
    def conditional(self) -> list[str]:
        """Names of the parameters that exist only under a condition."""
        return [name for name, axis in self.axes.items() if axis.when]

    def parents_first(self) -> list[str]:
        """Return the names so that each comes after the choices it depends on."""
        ordered: list[str] = []

        def visit(name: str) -> None:
            for parent in self.axes[name].when or ():
                visit(parent)
            if name not in ordered:
                ordered.append(name)

        for name in self.axes:
            visit(name)
        return ordered

    def active(self, name: str, params: Mapping[str, Any]) -> bool:
        """Return whether a parameter exists beside the given values of its parents."""
        when = self.axes[name].when or {}
        return all(
            parent in params and any(_same(params[parent], value) for value in values)
            for parent, values in when.items()
        )

    def from_unit(self, position: Sequence[float]) -> dict[str, Any]:
        """Return the parameters at a point of the unit cube.

        Args:
            position: One coordinate in [0, 1] per axis, in the order of declaration. The
                coordinate of a parameter that does not exist at this point is passed over,
                so that it never shifts the others.
        """
        coordinate = dict(zip(self.axes, position, strict=True))
        params: dict[str, Any] = {}
        for name in self.parents_first():
            if self.active(name, params):
                params[name] = self.axes[name].from_unit(coordinate[name])
        return {name: params[name] for name in self.axes if name in params}

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Return whether the parameters are exactly those of this space, each in its range."""
        expected = [name for name in self.axes if self.active(name, params)]
        return set(expected) == set(params) and all(
            self.axes[name].contains(params[name]) for name in expected
        )

    def covers(self, other: Space) -> bool:
        """Return whether each parameter of another space has its range inside this one's."""

        def inside(mine: Axis, theirs: Axis) -> bool:
            if isinstance(mine, Choice) or isinstance(theirs, Choice):
                return isinstance(theirs, Choice) and all(map(mine.contains, theirs.choices))
            return mine.low <= theirs.low and theirs.high <= mine.high

        return set(self) == set(other) and all(inside(self[name], other[name]) for name in other)

    def fixing(self, name: str, value: Any) -> Space:
        """Return this space without one axis, as if it always had the given value."""
        remaining: dict[str, Axis] = {}
        for other, axis in self.axes.items():
            if other == name:
                continue
            when = axis.when or {}
            if name in when:
                if not any(_same(value, allowed) for allowed in when[name]):
                    continue
                rest = {parent: values for parent, values in when.items() if parent != name}
                axis = replace(axis, when=rest or None)
            remaining[other] = axis
        # An axis that was dropped takes those that depend on it along.
        while lost := [
            n for n, a in remaining.items() if any(p not in remaining for p in a.when or ())
        ]:
            for orphan in lost:
                del remaining[orphan]
        return Space(remaining)

    def to_json(self) -> dict[str, Any]:
        """Return the space as a definition writes it."""
        return {name: axis.to_json() for name, axis in self.axes.items()}


def union(spaces: Iterable[Space]) -> Space:
    """Return the space that holds what each of a study's stages has searched.

    Args:
        spaces: Theirs, by number: conditions are those of the first, which only ever lose values.
    """
    found: dict[str, Axis] = {}
    for space in spaces:
        for name, axis in space.axes.items():
            found[name] = _union(found[name], axis) if name in found else axis
    return Space(found)


def _union(one: Axis, other: Axis) -> Axis:
    if isinstance(one, Choice):
        assert isinstance(other, Choice)
        more = tuple(choice for choice in other.choices if not one.contains(choice))
        return replace(one, choices=one.choices + more)
    assert not isinstance(other, Choice)
    ends: dict[str, Any] = {"low": min(one.low, other.low), "high": max(one.high, other.high)}
    both = replace(one, **ends)
    if both.step is not None and not (both.contains(one.low) and both.contains(other.low)):
        both = replace(both, step=None)  # a range set by hand may begin between the steps
    return both


def is_number(value: Any) -> bool:
    """Return whether a value is a number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _decimal(value: float) -> Decimal:
    """Return the decimals that the user means: in floats, 0.1 + 2 * 0.1 is not 0.3."""
    return Decimal(repr(float(value)))


def _same(a: Any, b: Any) -> bool:
    """Equality that tells True from 1, as TOML and JSON do."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _to_json(axis: Axis, json: dict[str, Any]) -> dict[str, Any]:
    step = getattr(axis, "step", None)
    if step is not None:
        json["step"] = step
    if axis.when:
        json["when"] = {parent: list(values) for parent, values in axis.when.items()}
    return json
