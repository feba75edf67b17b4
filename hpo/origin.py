"""What a definition was started from, so that it can be started again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Origin:
    """What `hpo start` was given.

    Args:
        name: Name of a built-in definition, None for a file.
        file: The file, as an absolute path; None for a built-in definition.
        quick: Whether `--quick` was given.
        settings: What `--set` and `--epochs` gave.
    """

    name: str | None = None
    file: str | None = None
    quick: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def command(self, settings: Mapping[str, Any], more: str = "") -> str | None:
        """Return the command that starts the same with other settings; None if its file is gone.

        Args:
            settings: The settings that differ.
            more: Other options, with a space before each.
        """
        words = self.name or _typed(Path(self.file or ""))
        if words is None:
            return None
        quick = " --quick" if self.quick else ""
        return f"hpo start {words}{quick}{options({**self.settings, **settings})}{more}"


def options(settings: Mapping[str, Any]) -> str:
    """Return the options that make settings, with a space before each."""
    given = (shlex.quote(f"{key}={_toml(value)}") for key, value in settings.items())
    return "".join(f" --set {each}" for each in given)


def _typed(file: Path) -> str | None:
    """Return a file as a person would name it from here, None if it is not there any more."""
    if not file.is_file():
        return None
    if not file.is_relative_to(Path.cwd()):
        return shlex.quote(str(file))
    short = str(file.relative_to(Path.cwd()))
    # A bare word could be the name of a built-in definition, or an option.
    plain = short.endswith(".toml") and not short.startswith("-")
    return shlex.quote(short if plain else f"./{short}")


def _toml(value: Any) -> str:
    """Return a value as TOML writes it, which of a scalar is what JSON writes."""
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
