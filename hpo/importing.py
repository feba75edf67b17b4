"""What a definition names "module:function", found and imported."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

INSTALLED = frozenset({"site-packages", "dist-packages"})
"""What folders of installed packages are called."""

_FOLDERS: set[str] = set()
"""Folders of definitions from which this process has imported."""


class ImportFailed(Exception):
    """A name in the definition that cannot be imported; the message is for the user."""


def import_name(key: str, name: str, folder: str | None) -> Callable[..., Any]:
    """Import a function.

    Args:
        key: The key of the definition, for messages.
        name: "module:function".
        folder: Where to look first, as Python does beside a script: it stays on `sys.path`. A
            module of that name that is loaded from elsewhere, for another definition, makes way.

    Raises:
        ImportFailed: There is no such module or function.
    """
    module_name, _, attribute = name.partition(":")
    where = f"{key} = {name!r}"
    if folder is not None:
        _look_first_in(folder, module_name)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name == module_name.split(".")[0] or error.name == module_name:
            looked = f" in {folder} or" if folder else ""
            raise ImportFailed(
                f"{where}: there is no module {error.name!r}{looked} among the installed packages"
            ) from None
        raise ImportFailed(f"{where}: importing it failed, {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ImportFailed(f"{where}: the module {module_name} has no {part!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ImportFailed(f"{where}: it is {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function


def _look_first_in(folder: str, module_name: str) -> None:
    """Put a folder before all others, and drop the loaded modules that would hide its own.

    Those are the named one, wherever it is from, and what else a definition has loaded from its
    folder: each may have a `model.py` beside its `my_train.py`.
    """
    if Path(folder).name in INSTALLED:  # they keep their place, behind Python's own modules
        sys.path += [] if folder in sys.path else [folder]
        return
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)
    _FOLDERS.add(folder)
    named = module_name.split(".")[0]
    for name, file in _loaded().items():
        concerned = name == named or any(_lies_in(each, name, file) for each in _FOLDERS)
        if concerned and not _lies_in(folder, name, file) and _holds(folder, name):
            for module in [each for each in sys.modules if each.split(".")[0] == name]:
                del sys.modules[module]


def _loaded() -> dict[str, str]:
    """Return the top-level modules, each with its file.

    A package without `__init__.py` has none; there it is that of its first module.
    """
    files: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if file := getattr(module, "__file__", None):
            files.setdefault(name.split(".")[0], file)
    return files


def _lies_in(folder: str, name: str, file: str) -> bool:
    path = os.path.join(folder, name)
    return file.startswith((f"{path}.", f"{path}{os.sep}"))


def _holds(folder: str, name: str) -> bool:
    """Whether a folder, the first of `sys.path`, is where Python would find a module."""
    spec = PathFinder.find_spec(name)
    if spec is None:
        return False
    place = next(iter(spec.submodule_search_locations or [spec.origin or ""]))
    return os.path.dirname(place) == folder
