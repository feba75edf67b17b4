"""The two streams that a person reads. What others wrote is shown there, and never obeyed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hpo.cli import words


class Screen(Console):
    """A console without markup and emoji names, on which control characters stand as `\\x1b`.

    Wrapped at words in a terminal; into a file or a pipe, a line stays a line. Styles are given
    by `rich.text.Text`.
    """

    def __init__(self, stream: IO[str], *, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=not stream.isatty(),
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render text, progress bars and all else that is printed."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else words.printable(text), style, control)


def padded(text: str, width: int) -> str:
    """Return text filled with spaces up to a width, in columns of a terminal.

    A Chinese, Japanese or Korean character takes two of them.
    """
    return text + " " * (width - cell_len(text))


out = Screen(sys.stdout)
err = Screen(sys.stderr, stderr=True)
