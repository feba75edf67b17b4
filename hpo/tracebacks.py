"""What a traceback says, in one line: for screens, for Optuna's dashboard, for comparisons."""

from __future__ import annotations

import re

LONGEST_LINE = 300

# Of an exception group, the frames stand behind a bar; those of its parts are further in.
_FRAME = re.compile(r'( {2}\| )? {2}File "')


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
