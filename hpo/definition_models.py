"""What a person may write into a definition, and into the options that replace parts of it.

Imported where a person has given something: to import pydantic takes a quarter of the time of
`hpo list`, and what comes from a database was checked before it was stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, StringConstraints, ValidationError

from hpo.definition_errors import sentence
from hpo.errors import DefinitionError
from hpo.search import MOST_TRIALS, Direction, PrunerName, SamplerName

_IMPORTABLE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
_Importable = Annotated[str, StringConstraints(pattern=_IMPORTABLE)]


class File(BaseModel):
    """The tables and keys of a definition file; the space is read by `parse_space`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = None
    objective: _Importable
    describe: _Importable | None = None
    test: _Importable | None = None
    figure: _Importable | None = None
    finding: _Importable | None = None
    metric: str = Field(default="score", min_length=1)
    direction: Direction
    space: dict[str, Any]
    limits: dict[str, dict[str, Any]] = {}
    fixed: dict[str, Any] = {}
    search: dict[str, Any] = {}
    quick: dict[Literal["fixed", "search"], dict[str, Any]] = {}


class _Search(BaseModel):
    """The `[search]` table; what it leaves out is given, too."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sampler: SamplerName | None
    pruner: PrunerName
    trials: int = Field(ge=1, le=MOST_TRIALS)
    seed: int = Field(ge=0, le=2**63 - 1)  # what a database holds
    seeds: int = Field(ge=1)
    timeout: float | None = Field(gt=0, allow_inf_nan=False)
    trial_timeout: float | None = Field(gt=0, allow_inf_nan=False)
    trial_memory: ByteSize | None = Field(gt=0)
    max_attempts: int = Field(ge=1)
    durability: Literal["normal", "full"]


_KEYS = {"": File.model_fields, "search": _Search.model_fields}


def checked_file(raw: Mapping[str, Any]) -> File:
    """Return the tables and keys of a definition file; those of `[search]` are not looked at.

    Raises:
        DefinitionError: Names the key, what was given and what is allowed.
    """
    try:
        return File.model_validate(dict(raw))
    except ValidationError as error:
        raise DefinitionError(sentence(error.errors()[0], _KEYS)) from None


def checked_search(search: Mapping[str, Any], *, as_options: bool) -> dict[str, Any]:
    """Return all settings of a search.

    Args:
        search: Their names and values.
        as_options: Whether a mistake was made on the command line, not in a file.

    Raises:
        DefinitionError: Names the key or the option, what was given and what is allowed.
    """
    try:
        return _Search.model_validate(dict(search)).model_dump()
    except ValidationError as error:
        found = error.errors()[0]
        if as_options:
            option = f"--{found['loc'][0]}".replace("_", "-")
            told = sentence({**found, "loc": (option,)}, {"": _KEYS["search"]})
        else:
            told = sentence(found, _KEYS, ("search",))
        raise DefinitionError(told) from None
