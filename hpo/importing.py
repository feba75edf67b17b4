"""What a definition names "module:function", found and imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


class ImportFailed(Exception):
    """A name in the definition that cannot be imported; the message is for the user."""


def import_name(key: str, name: str, folder: str | None) -> Callable[..., Any]:
    """Import a function.

    Args:
        key: The key of the definition, for messages.
        name: "module:function".
        folder: Where else to look, as Python does beside a script: it stays on `sys.path`.

    Raises:
        ImportFailed: There is no such module or function.
    """
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)
    module_name, _, attribute = name.partition(":")
    where = f"{key} = {name!r}"
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
