"""Reading the `[space]` table of a definition: a sentence for everything that it cannot hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hpo.errors import DefinitionError
from hpo.space import Axis, Choice, Float, Int, Scalar, Space, When, is_number

LARGEST_WHOLE = 2**53
"""Beyond it a float cannot hold every whole number, and databases and samplers use floats."""


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
        if Choice(tuple(raw[:i])).contains(choice):
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
