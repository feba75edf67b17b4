"""The words of the screens: what others wrote, what became of trials, ranges as bars."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpo import tracebacks
from hpo.space import Axis, Choice, Space
from hpo.trial import Trial, TrialState
from hpo.wording import condition as condition
from hpo.wording import edge as edge
from hpo.wording import extent as extent
from hpo.wording import number as number
from hpo.wording import score as score
from hpo.wording import settings as settings

BAR = 10

RANGE, OPTIMUM, BEST, ELSEWHERE = "░█▓·"
"""What a bar is made of: a range, where in it the optimum can be or the best lie, and the rest."""

# Those of ASCII and Latin-1, those that turn the direction of the text, halves of a character.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# ECMA-48: a control sequence, a string for the terminal up to its end, any other escape.
_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]"
)


def printable(text: str) -> str:
    """Return text whose control characters are written out, as `\\x1b`; tabs and line ends stay."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def printed(line: str) -> str:
    """Return a line that a program printed: without colours, and of `50%\\r60%` the last."""
    line = _ESCAPE_SEQUENCE.sub("", line).rstrip("\r").rpartition("\r")[2]
    return _CONTROL.sub("", line)


def failure(trial: Trial) -> str:
    """Return why a trial failed."""
    match trial.reason:
        case "timeout":
            return f"stopped after {trial.seconds or 0:.3g} s, its time limit"
        case "memory":
            little = "" if trial.steps else ", right at its start: --trial-memory may be too small"
            return f"stopped: it took more memory than its limit{little}"
        case "lost":
            times = trial.retried.count("lost") + 1
            how = f" ({trial.error.removeprefix('the worker ended: ')})" if trial.error else ""
            return f"its worker died{f' {times} times' if times > 1 else ''}{how}"
        case "diverged":
            return "it diverged before it had reported a score"
        case "told":
            return "a person ended it, in a dashboard"
    return tracebacks.said(trial.error) if trial.error else trial.reason or "no reason was stored"


def diverged(trials: Iterable[Trial]) -> int:
    """Return how many trials diverged; those that have failed by it count among the failed."""
    return sum(trial.diverged and trial.state is not TrialState.FAIL for trial in trials)


def ordinal(number: int) -> str:
    """Return a place in a row, as `2nd`."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def metric(name: str) -> str:
    """Return a metric's name as the book prints it: `val acc`."""
    return name.replace("accuracy", "acc").replace("_", " ")


def bar(
    axis: Axis,
    scale: Sequence[Axis],
    marked: tuple[float, float] | None = None,
    mark: str = OPTIMUM,
) -> str:
    """Return a range as a bar on a scale that several ranges share.

    Args:
        axis: The range, drawn as ░ between its ends.
        scale: All ranges that are to be comparable; the bar spans them.
        marked: Ends of a part of the range.
        mark: How that part is drawn: `OPTIMUM` or `BEST`.
    """
    if isinstance(axis, Choice):
        return " | ".join(map(str, axis.choices))
    numeric = [a for a in scale if not isinstance(a, Choice)]

    def position(value: float) -> float:
        return math.log(value) if axis.log else float(value)

    low = min(position(a.low) for a in numeric)
    width = max(position(a.high) for a in numeric) - low

    def cells(start: float, end: float) -> range:
        first = math.floor((position(start) - low) / width * BAR + 1e-9)
        last = math.ceil((position(end) - low) / width * BAR - 1e-9)
        first = min(first, BAR - 1)
        return range(first, max(last, first + 1))

    drawn = [ELSEWHERE] * BAR
    for i in cells(axis.low, axis.high):
        drawn[i] = RANGE
    for i in cells(*marked) if marked else ():
        drawn[i] = mark
    left = max(len(edge(axis, a.low)) for a in numeric)
    right = max(len(edge(axis, a.high)) for a in numeric)
    return f"{edge(axis, axis.low):>{left}} {''.join(drawn)} {edge(axis, axis.high):<{right}}"


def legend(bars: Iterable[str], best: str) -> str:
    """Return what the signs in some bars mean.

    Args:
        bars: The bars.
        best: Whose best lie where `BEST` is.
    """
    drawn = "".join(bars)
    meanings = {
        OPTIMUM: "where the optimum can be",
        BEST: f"where {best} lie",
        ELSEWHERE: "outside, another stage's range",
    }
    told = [f"{sign} {meaning}" for sign, meaning in meanings.items() if sign in drawn]
    return "   ".join([f"{RANGE} range", *told])


def extremes(
    space: Space, name: str, settings: Sequence[Mapping[str, Any]]
) -> tuple[float, float] | None:
    """Return the smallest and the largest value that some settings have for a parameter."""
    if isinstance(space[name], Choice):
        return None
    values = [chosen[name] for chosen in settings if name in chosen]
    return (min(values), max(values)) if values else None
