"""A user's folder: a definition, and beside it the module of its objective."""

import shutil
from pathlib import Path
from typing import Any

X = {"low": 1e-6, "high": 1e-2, "log": True}
TINY = Path(__file__).with_name("tiny.py")


def toml(value: Any) -> str:
    """Write a value as TOML; no library in the standard distribution does."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict():
            return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return repr(value)


def place(folder: Path, objective: str = "hill", *, file: str = "my.toml", **keys: Any) -> Path:
    """Write a definition with the given keys and tables, and its objective, into a folder.

    Args:
        folder: The folder.
        objective: A function of `tiny`, or "module:function".
        file: Name of the definition file.
        **keys: Keys and tables of the definition; None leaves one out.
    """
    shutil.copy(TINY, folder)
    name = objective if ":" in objective else f"tiny:{objective}"
    raw = {"objective": name, "direction": "maximize", "space": {"x": X}, **keys}
    path = folder / file
    path.write_text(
        "".join(f"{key} = {toml(value)}\n" for key, value in raw.items() if value is not None),
        encoding="utf-8",
    )
    return path
