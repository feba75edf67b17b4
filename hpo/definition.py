"""A definition: objective, space, fixed settings and how to search; from TOML or Python."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hpo.errors import DefinitionError
from hpo.origin import Origin
from hpo.search import Direction, Search
from hpo.space import Choice, Int, Space, is_number
from hpo.space_parsing import check_number, parse_space

_NAME = re.compile(r"^[^\s/\x00-\x1f][^\x00-\x1f]{0,255}$")


_RANDOM_UP_TO = 4  # parameters


@dataclass(frozen=True)
class Definition:
    """What a study is about.

    Args:
        name: Default name of its studies.
        objective: "module:function" of the objective.
        direction: Whether a higher or a lower score is better.
        space: The parameters of stage 1.
        metric: The reported metric that the score is the last value of.
        describe: "module:function" that describes the data, or None.
        test: "module:function" that evaluates on the test set, or None.
        figure: "module:function" that draws a figure of its own, or None.
        finding: "module:function" that states a finding, or None.
        limits: How far `narrow` may widen, by parameter; others have a default.
        fixed: Settings passed to the objective beside the sampled ones.
        search: How the space is searched.
        quick: What `--quick` replaces, as `{"fixed": {...}, "search": {...}}`.
        folder: Folder that is put on `sys.path`, so that the objective can be imported.
        origin: What it was read from, and what was changed since; None if it was made in Python.
    """

    name: str
    objective: str
    direction: Direction
    space: Space
    metric: str = "score"
    describe: str | None = None
    test: str | None = None
    figure: str | None = None
    finding: str | None = None
    limits: Mapping[str, tuple[float, float]] | None = None
    fixed: Mapping[str, Any] | None = None
    search: Search = field(default_factory=Search)
    quick: Mapping[str, Any] | None = None
    folder: str | None = None
    origin: Origin | None = None

    @property
    def sampler(self) -> str:
        """How settings of stage 1 are drawn: as `[search]` says, or what suits the space.

        Random settings tell most about a space of up to four parameters: whether its ranges are
        right, and whether there is a second basin. In more dimensions too few of them are good.
        """
        return self.search.sampler or ("random" if len(self.space) <= _RANDOM_UP_TO else "tpe")

    def to_json(self) -> dict[str, Any]:
        """Return the definition as its file would write it; `folder` and `origin` are no part."""
        json_ = {
            "name": self.name,
            "objective": self.objective,
            "describe": self.describe,
            "test": self.test,
            "figure": self.figure,
            "finding": self.finding,
            "metric": self.metric,
            "direction": self.direction,
            "space": self.space.to_json(),
            "limits": {k: {"low": v[0], "high": v[1]} for k, v in (self.limits or {}).items()},
            "fixed": dict(self.fixed or {}),
            "search": asdict(self.search),
        }
        return {key: value for key, value in json_.items() if value not in (None, {})}

    @property
    def hash(self) -> str:
        """SHA-256 of the definition; equal for definitions that mean the same."""
        meaning = self.to_json()
        # The order of the parameters matters: random draws are made in it.
        meaning["space"] = list(meaning["space"].items())
        canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def quickened(self) -> Definition:
        """Return the definition with what its `[quick]` table replaces.

        Raises:
            DefinitionError: It has no such table.
        """
        if not self.quick:
            raise DefinitionError(f"{self.name} has no [quick] table, so --quick means nothing")
        try:
            fixed = _parse_fixed(self.quick.get("fixed", {}), self.space.axes)
            quick = replace(self, fixed={**(self.fixed or {}), **fixed})
            origin = self.origin and replace(self.origin, quick=True)
            quick = replace(quick, name=f"{self.name}-quick", origin=origin)
            return quick._searching(self.quick.get("search", {}), as_options=False)
        except DefinitionError as error:
            raise DefinitionError(f"[quick], {error}") from None

    def searching(self, **changes: Any) -> Definition:
        """Return the definition with changed search settings.

        Raises:
            DefinitionError: Names the option that is unknown or has a wrong value.
        """
        return self._searching(changes, as_options=True)

    def _searching(self, changes: Mapping[str, Any], *, as_options: bool) -> Definition:
        if not changes:
            return self
        from hpo.definition_models import checked_search

        search = checked_search({**asdict(self.search), **changes}, as_options=as_options)
        return _checked(replace(self, search=Search(**search)), as_options=as_options)

    def setting(self, key: str, value: Any) -> Definition:
        """Return the definition with one setting fixed.

        A key of the space is no longer searched; any other overrides `[fixed]`. A number may lie
        outside its range: the range says what is searched, not what works.

        Raises:
            DefinitionError: The value cannot be stored, or is not one of the parameter's kind; or
                there is no such key, and no `describe` that could know it.
        """
        _check_key("--set", key)
        _check_value(f"--set {key}", value)
        fixed = {**(self.fixed or {}), key: value}
        origin = self.origin
        if origin is not None:
            origin = replace(origin, settings={**origin.settings, key: value})
        if key in self.space.axes:
            axis = self.space.axes[key]
            if isinstance(axis, Choice) and not axis.contains(value):
                allowed = ", ".join(map(repr, axis.choices))
                raise DefinitionError(f"--set {key}: {value!r} is none of its choices ({allowed})")
            if not isinstance(axis, Choice) and not is_number(value):
                raise DefinitionError(f"--set {key}: {value!r} is not a number")
            if isinstance(axis, Int) and not isinstance(value, int):
                raise DefinitionError(f"--set {key}: {value!r} is not a whole number")
            space = self.space.fixing(key, value)
            if not space.axes:
                raise DefinitionError(f"--set {key}: nothing would be left to search")
            limits = {k: v for k, v in (self.limits or {}).items() if k in space.axes}
            return replace(self, space=space, limits=limits, fixed=fixed, origin=origin)
        if self.describe is None and key not in (self.fixed or {}):
            raise DefinitionError(self._unknown_setting(key))
        return replace(self, fixed=fixed, origin=origin)

    def _unknown_setting(self, key: str) -> str:
        known = [*self.space.axes, *(self.fixed or {})]
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"they have: {', '.join(known)}."
        return (
            f"--set {key}: {self.name} has no {key} in [space] or [fixed]; {hint} "
            "What the objective also knows can be set once [fixed] gives it a value"
        )


def load_definition(path: Path) -> Definition:
    """Read a definition file.

    Raises:
        DefinitionError: Names the file, the key, what was given and what is allowed.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DefinitionError(f"There is no file {path}") from None
    except IsADirectoryError:
        raise DefinitionError(f"{path} is a folder, not a definition file") from None
    except UnicodeDecodeError:
        raise DefinitionError(f"{path} is not a text file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise DefinitionError(f"{path} cannot be read: {error.strerror}") from None
    try:
        definition = parse_definition(raw, default_name=path.stem)
    except DefinitionError as error:
        raise DefinitionError(f"{path}, {error}") from None
    file = path.resolve()
    return replace(definition, folder=str(file.parent), origin=Origin(file=str(file)))


def parse_definition(raw: Mapping[str, Any], *, default_name: str = "") -> Definition:
    """Read a definition from the tables of its file.

    Raises:
        DefinitionError: Names the key, what was given and what is allowed.
    """
    from hpo.definition_models import checked_file, checked_search

    file = checked_file(raw)
    search = checked_search({**asdict(Search()), **file.search}, as_options=False)
    definition = Definition(
        name=check_name(file.name if file.name is not None else default_name),
        objective=file.objective,
        describe=file.describe,
        test=file.test,
        figure=file.figure,
        finding=file.finding,
        metric=file.metric,
        direction=file.direction,
        space=parse_space(file.space),
        limits=_parse_limits(file.limits, file.space),
        fixed=_parse_fixed(file.fixed, file.space),
        search=Search(**search),
        quick={table: changes for table, changes in file.quick.items()},
    )
    if definition.quick:
        definition.quickened()  # raises now rather than at the first --quick
    return _checked(definition, as_options=False)


def stored_definition(raw: Mapping[str, Any]) -> Definition:
    """Return the definition that `Definition.to_json` wrote.

    Raises:
        DefinitionError: It has a key that this hpo does not know.
    """
    if not (_known(raw, Definition) and _known(raw["search"], Search)):
        return parse_definition(raw)  # a newer hpo has written it: says which key
    limits = {name: (each["low"], each["high"]) for name, each in raw.get("limits", {}).items()}
    tables = {
        "space": parse_space(raw["space"]),
        "limits": limits,
        "fixed": raw.get("fixed", {}),
        "search": Search(**raw["search"]),
        "quick": {},
    }
    return Definition(**{**raw, **tables})


def _known(raw: Mapping[str, Any], kind: type[Definition | Search]) -> bool:
    return raw.keys() <= {each.name for each in fields(kind)}


def define(
    objective: Callable[..., float] | str,
    *,
    space: Mapping[str, Any],
    direction: Direction,
    **rest: Any,
) -> Definition:
    """Build a definition in Python.

    Args:
        objective: The function, importable by its name, or "module:function".
        space: As the `[space]` table of a file.
        direction: "maximize" or "minimize".
        **rest: The other keys and tables of a file.

    Raises:
        DefinitionError: As for a file; or a function that a worker could not import.
    """
    folder = None
    if not isinstance(objective, str):
        objective, folder = _importable_name(objective)
    raw = {"objective": objective, "space": space, "direction": direction, **rest}
    function = objective.rpartition(":")[2]
    definition = parse_definition(raw, default_name=function.rpartition(".")[2])
    return replace(definition, folder=folder)


def check_name(name: str) -> str:
    """Return a study's name if it can be one.

    Raises:
        DefinitionError: Empty, too long, all digits (those are ids), or unprintable.
    """
    if name.isdigit():
        raise DefinitionError(f"name ({name!r}) is all digits, which would read as a study's id")
    if not _NAME.match(name) or not name.isprintable() or name != name.strip():
        raise DefinitionError(
            f"name ({name!r}) must be 1 to 256 printable characters without spaces at its ends"
        )
    return name


def _checked(definition: Definition, *, as_options: bool) -> Definition:
    search = definition.search
    if not definition.metric.isprintable():
        raise DefinitionError(f"metric ({definition.metric!r}) must be printable characters")
    if search.trials % search.seeds:
        raise DefinitionError(
            f"{'--' if as_options else '[search] '}trials ({search.trials}) is not a multiple of "
            f"seeds ({search.seeds}): every setting is run once per seed"
        )
    if search.pruner != "none" and search.seeds > 1:
        raise DefinitionError(
            f"[search] pruner ({search.pruner!r}) does not go with seeds ({search.seeds}): "
            "settings are compared seed by seed, and a pruned replicate leaves nothing to compare. "
            "Leave one of them out"
        )
    return definition


def _parse_limits(
    raw: Mapping[str, Mapping[str, Any]], space: Mapping[str, Any]
) -> dict[str, tuple[float, float]]:
    limits: dict[str, tuple[float, float]] = {}
    for name, limit in raw.items():
        where = f"[limits] {name}"
        axis = space.get(name)
        if axis is None:
            raise DefinitionError(f"{where}: not a parameter of [space]")
        if set(limit) != {"low", "high"}:
            raise DefinitionError(
                f"{where}: needs exactly low and high, has {', '.join(limit) or 'none'}"
            )
        low, high = limit["low"], limit["high"]
        for key, number in (("low", low), ("high", high)):
            check_number(f"{where}: {key}", number)
        if "choices" in axis:
            raise DefinitionError(f"{where}: a parameter with choices has no limits")
        if low > axis["low"] or high < axis["high"]:
            raise DefinitionError(
                f"{where}: {low!r} to {high!r} does not hold the range of [space], "
                f"{axis['low']!r} to {axis['high']!r}"
            )
        if axis.get("log") and low <= 0:
            raise DefinitionError(f"{where}: low ({low!r}) must be above 0 on a log axis")
        limits[name] = (low, high)
    return limits


def _parse_fixed(fixed: Mapping[str, Any], space: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in fixed.items():
        _check_key("[fixed]", key)
        if key in space:
            raise DefinitionError(f"[fixed] {key}: it is searched in [space] already; drop one")
        _check_value(f"[fixed] {key}", value)
    return dict(fixed)


def _check_key(where: str, key: str) -> None:
    if not key or not key.isprintable():
        raise DefinitionError(f"{where} {key!r}: a name must be printable characters")


def _check_value(where: str, value: Any) -> None:
    """Make sure that a value can be stored and sent to a worker."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise DefinitionError(
            f"{where}: {value!r} is not a string, finite number, boolean, list or table of those"
        ) from None


def _importable_name(function: Callable[..., float]) -> tuple[str, str | None]:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    shown = f"{module}:{name}"
    if not module or not name or "<" in name or module == "__main__":
        raise DefinitionError(
            f"objective ({shown}): workers are processes of their own and must be able to import "
            "it. Put the function at the top level of a module file and pass it from there"
        )
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    depth = module.count(".") + hasattr(loaded, "__path__")  # a package's file is its __init__
    folder = None if file is None else str(Path(file).resolve().parents[depth])
    return shown, folder
