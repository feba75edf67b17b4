"""Built-in definitions and data sets, found by entry points so that any package can bring its own.

hpo.definitions    NAME = "package:file.toml", a definition file inside the package
hpo.data           NAME = "module:OBJECT", a data set with the members of `DataSet`
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from hpo.definition import Definition, load_definition
from hpo.errors import NotFoundError
from hpo.origin import Origin

DEFAULT_DEFINITION = "digits"

Progress = Callable[[str, int, int | None], None]
"""Is told the name of a file, the bytes that have come, and their total if it is known."""


class DataSet(Protocol):
    """A data set that can be listed and fetched."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def summary(self) -> str:
        """One line: what it is and how large."""

    def status(self) -> str:
        """Return one line: where it is, or how to get it."""

    def fetch(self, source: str | None = None, progress: Progress | None = None) -> str:
        """Put it into the cache and return one line that says where."""


def definition_names() -> list[str]:
    """Return the names of the built-in definitions."""
    return sorted(entry_points(group="hpo.definitions").names)


def definition_file(name: str) -> Path:
    """Return the file of a built-in definition.

    Raises:
        NotFoundError: There is none of that name.
    """
    package, _, file = _entry("hpo.definitions", "definition", name).value.partition(":")
    spec = find_spec(package)
    assert spec is not None, package
    assert spec.origin is not None, package
    return Path(spec.origin).parent / file


def find_definition(name_or_path: str | None) -> Definition:
    """Return a built-in definition by name, or one from a file.

    Args:
        name_or_path: None for the default.

    Raises:
        NotFoundError: There is neither.
        DefinitionError: The file cannot be used.
    """
    name = DEFAULT_DEFINITION if name_or_path is None else name_or_path
    if name not in definition_names() and (name.endswith(".toml") or Path(name).is_file()):
        return load_definition(Path(name))
    definition = load_definition(definition_file(name))
    # Its objective comes from an installed package, not from a folder beside the file.
    return replace(definition, folder=None, origin=Origin(name))


def data_sets() -> list[DataSet]:
    """Return the data sets by name."""
    return [find_data_set(name) for name in sorted(entry_points(group="hpo.data").names)]


def find_data_set(name: str) -> DataSet:
    """Return a data set.

    Raises:
        NotFoundError: There is none of that name.
    """
    found: DataSet = _entry("hpo.data", "data set", name).load()
    return found


def _entry(group: str, kind: str, name: str) -> EntryPoint:
    known = entry_points(group=group)
    if name in known.names:
        return known[name]
    close = difflib.get_close_matches(name, known.names, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise NotFoundError(
        f"there is no {kind} {name!r}.{hint} There are: {', '.join(sorted(known.names))}"
        + (", or name a file such as my.toml" if kind == "definition" else "")
    )
