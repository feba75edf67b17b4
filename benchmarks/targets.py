"""What a benchmark measured, beside what it should be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.box import MARKDOWN
from rich.table import Table


@dataclass(frozen=True)
class Result:
    what: str
    measured: float
    limit: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit


def results_table(results: Iterable[Result]) -> Table:
    table = Table(title="Targets", title_justify="left", box=MARKDOWN)
    for column in ("what", "measured", "target", ""):
        table.add_column(column)
    for result in results:
        limit = f"{'≤' if result.at_most else '≥'} {result.limit:.3g}"
        table.add_row(result.what, f"{result.measured:.3g}", limit, "✓" if result.met else "✗")
    return table
