"""The command line: thin, no logic. Each command calls `hpo.service` and shows the answer."""

from __future__ import annotations

import gc
import os

from hpo.threads import ONE_THREAD

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the `hpo` script."""
    # What is imported lives to the end. The garbage collector would look through it a hundred
    # times meanwhile, and once more at the exit: a quarter of what `hpo list` takes.
    gc.set_threshold(10_000)
    # The workers use the cores; two threads of the surrogate would fight with theirs, and add up in
    # an order of their own.
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    try:
        from hpo.cli.group import hpo

        hpo()
    finally:
        gc.freeze()
