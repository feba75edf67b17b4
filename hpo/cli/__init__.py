"""The command line: thin, no logic. Each command calls `hpo.service` and shows the answer."""

from __future__ import annotations

from hpo.cli.group import hpo

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of the `hpo` script."""
    hpo()
