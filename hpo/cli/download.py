"""Progress bars of downloads, one per file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from hpo import catalog
from hpo.cli.console import err


@contextmanager
def bars() -> Iterator[catalog.Progress]:
    """Show a bar for each file that is reported on; none without a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(30), DownloadColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield tell
