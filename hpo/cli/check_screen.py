"""What `hpo check` says on the screen: the worst first, each with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from hpo.cli import hints, tables
from hpo.cli.console import out
from hpo.health import CHECKS
from hpo.health.verdict import Status, Verdict
from hpo.summary import Summary

_COLOURS: dict[Status, str] = {"fail": "red", "warn": "yellow", "pass": "green"}
_WORST_FIRST = list(_COLOURS)
_NAME = max(map(len, CHECKS))


def verdicts(summary: Summary, said: Sequence[Verdict], storage: str | None) -> None:
    """Print what the checks say of a study."""
    stage = summary.searches[-1]
    about = f" · study {summary.study.id} · stage {stage.number}, {stage.sampler}"
    out.print(Text.assemble((summary.study.name, "bold"), about, "\n"))
    for verdict in sorted(said, key=lambda each: _WORST_FIRST.index(each.status)):
        colour = _COLOURS[verdict.status]
        head = Text.assemble((verdict.status, colour), f"  {verdict.check:<{_NAME}}  ")
        tables.hanging(out, head, Text(verdict.message))
        if verdict.remedy is not None:
            remedy = Text(hints.completed(verdict.remedy, storage), "bold")
            margin = Text(f"{'→':>{len(head) - 1}} ", colour)
            if verdict.remedy.startswith("hpo "):
                # The terminal breaks the line, so that the command can be copied.
                out.print(Text.assemble(margin, remedy), soft_wrap=True)
            else:
                tables.hanging(out, margin, remedy)
    told = [verdict.check for verdict in said]
    if missing := [name for name in CHECKS if name not in told]:
        out.print(f"\nNothing to go by: {', '.join(missing)}", style="dim")
