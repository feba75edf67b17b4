"""What a traceback says, in one line: for screens, for Optuna's dashboard, for comparisons."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

from hpo.importing import INSTALLED

LONGEST_LINE = 300

# Of an exception group, the frames stand behind a bar; those of its parts are further in.
_FRAME = re.compile(r'( {2}\| )? {2}File "')


_OURS = Path(__file__).parent
_PYTHONS = Path(os.__file__).parent


def said(error: str) -> str:
    """Return the line of a traceback that names the exception, of bounded length.

    It is the first behind the last frame that is not indented. The last line of all may belong to
    a message of several lines, to a note, or to a part of an exception group.
    """
    lines = error.strip("\n").split("\n")
    frames = [(i, found[1] or "") for i, line in enumerate(lines) if (found := _FRAME.match(line))]
    last, bar = frames[-1] if frames else (-1, "")
    behind = (line.removeprefix(bar) for line in lines[last + 1 :])
    line = next((line for line in behind if line and not line[0].isspace()), lines[-1]).strip()
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def place(error: BaseException) -> str:
    """Return the last line of the user's code that led to an exception, if any did, as text."""
    places = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename is not None:
        places.append((error.filename, error.lineno))  # in a file that could not be imported
    users = [f" ({Path(file).name}, line {line})" for file, line in places if _is_users(file)]
    return users[-1] if users else ""


def _is_users(file: str) -> bool:
    path = Path(file)
    return not (
        file.startswith("<")  # how Python names its own importing
        or path.is_relative_to(_OURS)
        or path.is_relative_to(_PYTHONS)
        or INSTALLED.intersection(path.parts)
    )
