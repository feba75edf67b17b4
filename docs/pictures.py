"""Draws the terminal pictures of the README: runs the commands in a terminal and keeps its screen.

    python docs/pictures.py

The picture shows what the commands printed, nothing is typed in by hand.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100
COMMANDS = ("hpo start --sampler random", "hpo narrow 1", "hpo show 1")


def main() -> None:
    """Run the commands in a fresh folder and write `docs/screen.svg`."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text(f"$ {command}", "bold"))
            console.print(Text.from_ansi(last_frame(run(command, folder))))
            console.print()
    svg = console.export_svg(title="hpo")
    # The reader's own monospaced font will do; nothing is loaded from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (Path(__file__).parent / "screen.svg").write_text(svg)


def run(command: str, folder: str) -> str:
    """Return what a command writes to a terminal of `WIDTH` columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(
        command.split(), cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # the terminal is closed: the command has ended
        pass
    os.close(ours)
    process.wait()
    return written.decode()


def last_frame(written: str) -> str:
    """Return the screen at the end: a bar that was drawn over and over appears once."""
    lines: list[str] = []
    row = 0
    for part in re.split(r"(\x1b\[\d*A|\x1b\[2K|\x1b\[\?25[lh]|\r\n|\r)", written):
        if up := re.fullmatch(r"\x1b\[(\d*)A", part):
            row -= int(up[1] or 1)
        elif part == "\r\n":
            row += 1
        elif part == "\x1b[2K":
            lines[row : row + 1] = [""]
        elif part and part != "\r" and not part.startswith("\x1b[?25"):
            lines += [""] * (row + 1 - len(lines))
            lines[row] += part
        lines += [""] * (row + 1 - len(lines))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
