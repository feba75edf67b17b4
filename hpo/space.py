"""The search space: parameters and their ranges.

Every axis maps the unit interval onto its values (`from_unit`) and back (`to_unit`); log axes do
so in logarithms, as the book draws `10 ** uniform(-6, -2)`. Samplers, the grid and `narrow` all
work on the unit interval and meet a real value only here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hpo.errors import DefinitionError

Scalar = str | int | float | bool
LARGEST_WHOLE = 2**53
"""Beyond it a float cannot hold every whole number, and databases and samplers use floats."""

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
        index = round((_decimal(value) - _decimal(self.low)) / _decimal(self.step))
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

    def value_at(self, index: int) -> float:
        """Return a value of a stepped axis by its place, from 0."""
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

    def value_at(self, index: int) -> int:
        """Return a value by its place, from 0."""
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

    def with_axis(self, name: str, axis: Axis) -> Space:
        """Return this space with one axis replaced."""
        return Space({**self.axes, name: axis})

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


def parse_space(raw: Mapping[str, Any]) -> Space:
    """Read a space from the `[space]` table of a definition.

    Args:
        raw: `{low, high, log?, step?}` or `{choices}` by parameter name, each with an optional
            `when`. Two whole numbers make an `Int`, anything else a `Float`.

    Raises:
        DefinitionError: Names the parameter, what was given and what is allowed.
    """
    if not raw:
        raise DefinitionError("[space] is empty: name at least one parameter to search")
    space = Space({name: _parse_axis(name, axis) for name, axis in raw.items()})
    for name, axis in space.axes.items():
        _check_condition(space, name, axis)
    return space


def _parse_axis(name: str, raw: Any) -> Axis:
    where = f"[space] {name}"
    if not name.isprintable() or not name:
        raise DefinitionError(f"[space] {name!r}: a name must be printable characters")
    if not isinstance(raw, Mapping):
        raise DefinitionError(
            f"{where}: {raw!r} is not a range. Write {{ low = 0.001, high = 0.1, log = true }} or "
            '{ choices = ["a", "b"] }; a constant goes under [fixed]'
        )
    when = _parse_when(where, raw["when"]) if "when" in raw else None
    if "choices" in raw:
        _refuse_unknown(where, raw, ("choices", "when"))
        return Choice(_parse_choices(where, raw["choices"]), when)
    _refuse_unknown(where, raw, ("low", "high", "log", "step", "choices", "when"))
    for key in ("low", "high"):
        if key not in raw:
            raise DefinitionError(f"{where}: {key} is missing; a range needs low and high")
        check_number(f"{where}: {key}", raw[key])
    low, high = raw["low"], raw["high"]
    log, step = raw.get("log", False), raw.get("step")
    if not isinstance(log, bool):
        raise DefinitionError(f"{where}: log ({log!r}) is not true or false")
    if low >= high:
        raise DefinitionError(f"{where}: low ({low!r}) is not below high ({high!r})")
    if log and low <= 0:
        raise DefinitionError(f"{where}: low ({low!r}) must be above 0 on a log axis")
    if log and step is not None:
        raise DefinitionError(f"{where}: log and step do not go together; drop one of them")
    if step is not None:
        if not is_number(step) or step <= 0 or step == math.inf:
            raise DefinitionError(f"{where}: step ({step!r}) is not a number above 0")
        if step > high - low:
            raise DefinitionError(
                f"{where}: step ({step!r}) is larger than the range {low!r} to {high!r}"
            )
    if all(isinstance(number, int) for number in (low, high, step) if number is not None):
        return Int(low, high, log, step, when)
    if not math.isfinite(high - low):
        raise DefinitionError(f"{where}: from {low!r} to {high!r} is too far for a float")
    largest = max(low, high, key=abs)
    if step is not None and step < 4 * math.ulp(largest):
        raise DefinitionError(f"{where}: step ({step!r}) is too small for a float near {largest!r}")
    return Float(float(low), float(high), log, None if step is None else float(step), when)


def _parse_choices(where: str, raw: Any) -> tuple[Scalar, ...]:
    if not isinstance(raw, list | tuple) or not raw:
        raise DefinitionError(f"{where}: choices ({raw!r}) is not a list with at least one value")
    for i, choice in enumerate(raw):
        if not isinstance(choice, str | int | float | bool):
            raise DefinitionError(
                f"{where}: the choice {choice!r} is not a string, a number or true/false"
            )
        if isinstance(choice, str) and not choice.isprintable():
            raise DefinitionError(f"{where}: the choice {choice!r} has characters without a shape")
        if isinstance(choice, float) and not math.isfinite(choice):
            raise DefinitionError(f"{where}: the choice {choice!r} is not finite")
        if any(_same(choice, other) for other in raw[:i]):
            raise DefinitionError(f"{where}: the choice {choice!r} is there twice")
    return tuple(raw)


def _parse_when(where: str, raw: Any) -> When:
    if not isinstance(raw, Mapping) or not raw:
        raise DefinitionError(
            f'{where}: when ({raw!r}) is not a condition such as {{ optimizer = "momentum" }}'
        )
    for parent, values in raw.items():
        if isinstance(values, list | tuple) and not values:
            raise DefinitionError(f"{where}: when names {parent!r} without a value")
    return {
        parent: tuple(values) if isinstance(values, list | tuple) else (values,)
        for parent, values in raw.items()
    }


def _check_condition(space: Space, name: str, axis: Axis) -> None:
    for parent, values in (axis.when or {}).items():
        where = f"[space] {name}: when names {parent!r}"
        if parent not in space.axes:
            raise DefinitionError(f"{where}, which is not a parameter of [space]")
        choice = space.axes[parent]
        if not isinstance(choice, Choice):
            raise DefinitionError(f"{where}, which is not a parameter with choices")
        for value in values:
            if not choice.contains(value):
                raise DefinitionError(
                    f"{where} = {value!r}, which is none of its choices "
                    f"({', '.join(map(repr, choice.choices))})"
                )
    seen: set[str] = set()
    queue = list(axis.when or ())
    while queue:
        parent = queue.pop()
        if parent == name:
            raise DefinitionError(f"[space] {name}: its condition depends on itself")
        if parent in seen or parent not in space.axes:
            continue  # two conditions may share a parent; a missing one has its own error
        seen.add(parent)
        queue.extend(space.axes[parent].when or ())


def _refuse_unknown(where: str, raw: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in raw:
        if key not in allowed:
            raise DefinitionError(f"{where}: unknown key {key!r}; allowed are {', '.join(allowed)}")


def check_number(where: str, value: Any) -> None:
    """Make sure that a value can be an end of a range.

    Raises:
        DefinitionError: It is not a number, not finite, or a whole number that floats cannot hold.
    """
    if not is_number(value) or (isinstance(value, float) and not math.isfinite(value)):
        raise DefinitionError(f"{where} ({value!r}) is not a finite number")
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        raise DefinitionError(
            f"{where} is a whole number beyond 2**53, which a float cannot hold exactly"
        )


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
