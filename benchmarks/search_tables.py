"""The tables of search.py, and what its numbers should be."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from landscapes import INNER
from rich.box import MARKDOWN
from rich.table import Table
from study_search import BOOK, LOW
from targets import Result
from toy_search import OUTSIDE

Line = dict[str, Any]

_ORDER = ("random", "QMC", "book", "TPE", "CMA-ES", "GP", "hpo", "hpo, to the end", "TPE, wide box")
_WHY = ("used all trials", "no gain expected", "all alike")
_BOXES = ("random", "QMC", "TPE", "CMA-ES", "GP")
"""Samplers that are confined to the box."""


def tables_of(lines: Sequence[Line]) -> Iterator[Table]:
    toys = [line for line in lines if line["part"] == "toys"]
    for d, noise in _values(toys, "d", "noise"):
        here = [line for line in toys if (line["d"], line["noise"]) == (d, noise)]
        most = max(line["trials"] for line in here)
        title = f"Regret × 1000, d = {d}, σ = {noise:g}, {most} trials, {_seeds(here)}"
        yield _regrets(here, f"{title}; recommended", "recommended")
        yield _regrets(here, f"{title}; best result", "maximum")
        yield _spent(here, f"Where hpo stopped, d = {d}, σ = {noise:g}, {_seeds(here)}")
    real = [line for line in lines if line["part"] == "real"]
    for (study,) in _values(real, "study"):
        yield _tests([line for line in real if line["study"] == study], study)


def results_of(lines: Sequence[Line]) -> Iterator[Result]:
    toys = [line for line in lines if line["part"] == "toys"]
    yield from _advice([t for t in toys if t["d"] == 3 and t["noise"]])
    for d, noise in _values(toys, "d", "noise"):
        here = [t for t in toys if (t["d"], t["noise"]) == (d, noise)]
        for method in ("hpo", "hpo, to the end"):
            yield from _compared(here, method, f"d = {d}, σ = {noise:g}, {method}", d, noise)
    yield from _edge([t for t in toys if t["d"] == 3 and t["landscape"] == "edge" and t["noise"]])
    yield from _real([line for line in lines if line["part"] == "real"])


# Targets -----------------------------------------------------------------------------------------


def _advice(here: Sequence[Line]) -> Iterator[Result]:
    for method, limit in (("TPE", 0.6), ("hpo", 0.7), ("random", 0.85)):
        cells = [_of(here, landscape=name, method=method) for name in INNER]
        if all(cells):
            recommended = statistics.fmean(_median(cell) for cell in cells)
            maximum = statistics.fmean(_median(cell, "maximum") for cell in cells)
            what = f"{method}: regret of the recommended, part of the best result's"
            yield Result(what, recommended / maximum, limit)


def _compared(
    here: Sequence[Line], method: str, where: str, d: int, noise: float
) -> Iterator[Result]:
    """Yield the worst landscape of each comparison: differences and limits are regrets."""
    medians: list[tuple[float, float, str]] = []
    tails: list[tuple[float, float, str]] = []
    rivals: list[tuple[float, float, str]] = []
    for name in INNER:
        ours = _of(here, landscape=name, method=method)
        random = _of(here, landscape=name, method="random")
        models = [_of(here, landscape=name, method=other) for other in ("TPE", "GP")]
        models = [cell for cell in models if cell]
        if not (ours and random and models):
            return
        medians.append((_median(ours), _median(random), name))
        tails.append((_tail(ours), _tail(random), name))
        best = min(_median(cell) for cell in models)
        limit = best + (0.005 if d <= 3 else 0.01)
        if not noise:
            limit = max(2 * _median(models[0]), 0.001)
        rivals.append((_median(ours), limit, name))
    than = "the better of TPE and GP" if noise else "twice TPE's"
    for what, pairs in (
        ("median against random's", medians),
        ("95 % against random's", tails),
        (f"median against {than}", rivals),
    ):
        measured, limit, name = max(pairs, key=lambda pair: pair[0] - pair[1])
        yield Result(f"{where}: {what}, worst on {name}", measured, limit)


def _edge(here: Sequence[Line]) -> Iterator[Result]:
    ours, tpe = _of(here, method="hpo"), _of(here, method="TPE")
    if ours and tpe:
        yield Result("edge, d = 3, σ = 0.04: median regret", _median(ours), 0.01)
        yield Result("the same: TPE's, as a multiple", _median(tpe) / _median(ours), 5, False)


def _real(real: Sequence[Line]) -> Iterator[Result]:
    ours = [line["test"] for line in _of(real, study=BOOK, method="hpo")]
    if ours:
        mean = statistics.fmean(ours)
        yield Result(f"{BOOK}: test accuracy, mean of {len(ours)} seeds", mean, 0.82, False)
        yield Result(f"{BOOK}: worst", min(ours), 0.78, False)
        for method in _BOXES:
            if theirs := [line["test"] for line in _of(real, study=BOOK, method=method)]:
                ahead = mean - statistics.fmean(theirs)
                yield Result(f"{BOOK}: ahead of {method}", ahead, 0.05, False)
    if low := [line["test"] for line in _of(real, study=LOW, method="hpo")]:
        share = sum(test >= 0.8 for test in low) / len(low)
        yield Result(f"{LOW}: part of {len(low)} seeds that reach 0.80", share, 0.9, False)


# Tables ------------------------------------------------------------------------------------------


def _regrets(here: Sequence[Line], title: str, rule: str) -> Table:
    table = _table(f"{title}: median / 95 %", "", *INNER, "the six", *OUTSIDE)
    for method in _methods(here):
        cells = [_of(here, landscape=name, method=method) for name in (*INNER, *OUTSIDE)]
        texts = [_both(cell, rule) if cell else "–" for cell in cells]
        inner = cells[: len(INNER)]
        six = _short(statistics.fmean(_median(c, rule) for c in inner)) if all(inner) else "–"
        table.add_row(method, *texts[: len(INNER)], six, *texts[len(INNER) :])
    return table


def _both(cell: Sequence[Line], rule: str) -> str:
    return f"{_short(_median(cell, rule))} / {_short(_tail(cell, rule))}"


def _short(regret: float) -> str:
    return f"{1000 * regret:.2g}" if regret < 0.01 else f"{1000 * regret:.0f}"


def _spent(here: Sequence[Line], title: str) -> Table:
    """Why and when `hpo` stopped, and what was recommended then."""
    table = _table(title, "", *INNER, *OUTSIDE)
    cells = [_of(here, landscape=name, method="hpo") for name in (*INNER, *OUTSIDE)]
    table.add_row("trials, mean", *[_mean([float(line["trials"]) for line in c]) for c in cells])
    table.add_row("last box has the optimum, %", *[_percent([x["held"] for x in c]) for c in cells])
    for why in _WHY:
        ended = [[line for line in c if _why(line) == why] for c in cells]
        table.add_row(f"{why}, %", *[_percent([_why(line) == why for line in c]) for c in cells])
        table.add_row("… median regret × 1000", *[_short(_median(c)) if c else "–" for c in ended])
    return table


def _why(line: Line) -> str:
    if line["stopped"] is None:
        return "used all trials"
    return "no gain expected" if line["stopped"].startswith("another stage") else "all alike"


def _tests(here: Sequence[Line], study: str) -> Table:
    table = _table(
        f"{study}: test accuracy",
        "", "seeds", "mean", "worst", "best result: mean", "worst", "trials", "lr recommended",
    )  # fmt: skip
    for method in _methods(here):
        lines = _of(here, method=method)
        tests, others = ([line[key] for line in lines] for key in ("test", "best_test"))
        rates = sorted(line["params"]["lr"] for line in lines)
        table.add_row(
            method,
            str(len(lines)),
            f"{statistics.fmean(tests):.3f}",
            f"{min(tests):.3f}",
            f"{statistics.fmean(others):.3f}",
            f"{min(others):.3f}",
            f"{statistics.fmean(line['trials'] for line in lines):.0f}",
            f"{rates[0]:.2g} … {rates[-1]:.2g}",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=MARKDOWN)
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    return table


def _of(lines: Sequence[Line], **values: Any) -> list[Line]:
    return [line for line in lines if values.items() <= line.items()]


def _values(lines: Sequence[Line], *keys: str) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(tuple(line[key] for key in keys) for line in lines))


def _methods(here: Sequence[Line]) -> list[str]:
    return [method for method in _ORDER if _of(here, method=method)]


def _seeds(here: Sequence[Line]) -> str:
    cells = _values(here, "landscape", "method")
    counts = [len(_of(here, landscape=name, method=method)) for name, method in cells]
    few = f"{min(counts)} to " if min(counts) < max(counts) else ""
    return f"{few}{max(counts)} seeds"


def _median(cell: Sequence[Line], rule: str = "recommended") -> float:
    return statistics.median(line[rule] for line in cell)


def _tail(cell: Sequence[Line], rule: str = "recommended") -> float:
    return float(np.quantile([line[rule] for line in cell], 0.95))


def _mean(numbers: Sequence[float]) -> str:
    return f"{statistics.fmean(numbers):.0f}" if numbers else "–"


def _percent(flags: Sequence[bool]) -> str:
    return _mean([100.0 * flag for flag in flags])
