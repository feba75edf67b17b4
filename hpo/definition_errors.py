"""What pydantic finds wrong with a definition, in the words of its author.

A sentence names the key, what was given and what is allowed: "[search] trials (0) must be at
least 1".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_NEEDED = {
    "objective": 'write objective = "module:function"',
    "direction": 'write direction = "maximize" or "minimize"',
    "space": "a table [space] names the parameters to search",
}


def sentence(
    found: Mapping[str, Any], allowed: Mapping[str, Iterable[str]], prefix: tuple[str, ...] = ()
) -> str:
    """Return one finding in our words.

    Args:
        found: The finding, as `ValidationError.errors` lists it.
        allowed: The keys of each table by its name, those outside any table under "".
        prefix: Where in the file the validated part stands.
    """
    location = [*prefix, *(str(part) for part in found["loc"] if part != "[key]")]
    table, key = (location[0], location[1:]) if len(location) > 1 else ("", location)
    where = (f"[{table}] " if table else "") + ".".join(key)
    given, context = found["input"], found.get("ctx", {})
    match found["type"]:
        case "missing":
            return f"{where} is missing; {_NEEDED[where]}"
        case "extra_forbidden":
            return f"{where}: unknown key; allowed are {', '.join(allowed[table])}"
        case "literal_error":
            return f"{where}: {given!r} is not {context['expected']}"
        case "string_pattern_mismatch":
            return f"{where}: {given!r} is not written module:function"
        case "greater_than_equal":
            return f"{where} ({given!r}) must be at least {context['ge']}"
        case "less_than_equal":
            return f"{where} ({given!r}) must be at most {context['le']}"
        case "finite_number":
            return f"{where} ({given!r}) must be finite"
        case "greater_than":
            return f"{where} ({given!r}) must be above {context['gt']}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{where if table else f'[{where}]'}: {given!r} is not a table"
        case "int_type" | "int_from_float":
            return f"{where} ({given!r}) is not a whole number"
        case "float_type":
            return f"{where} ({given!r}) is not a number"
        case "string_too_short":
            return f"{where} ({given!r}) is empty"
        case "byte_size" | "byte_size_unit":
            return f'{where}: {given!r} is not a size such as "2GB", "500 MiB" or 2000000000'
        case "string_type":
            return f"{where} ({given!r}) is not a string"
        case _:
            return f"{where} ({given!r}): {found['msg']}"
