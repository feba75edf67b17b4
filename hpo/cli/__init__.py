"""The command line: thin, no logic. Each command calls `hpo.service` and shows the answer."""

from __future__ import annotations

import gc

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the `hpo` script."""
    # What is imported lives to the end. The garbage collector would look through it a hundred
    # times meanwhile, and once more at the exit: a quarter of what `hpo list` takes.
    gc.set_threshold(10_000)
    try:
        from hpo.cli.group import hpo

        hpo()
    finally:
        gc.freeze()
