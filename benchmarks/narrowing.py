"""What the narrowing rule loses and keeps, and what the recommendation is worth.

    python benchmarks/narrowing.py [--quick] [--json FILE]

Stages of n trials on landscapes with a known optimum, with and without the noise of 100 validation
examples (σ = 0.04), from random search and from TPE (Optuna's), narrowed twice. The second time,
the first stage's trials inside the new box count too. A step loses the optimum by location if it
leaves the box, and by value if the best score in the new box is more than one point of accuracy
below that of the old one.

The recommendation is judged after 99 trials: the regret of the setting with the highest posterior
mean beside that of the best result.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import optuna
from landscapes import (
    CHANCE,
    EVERY,
    INNER,
    LIMITS,
    NOISE,
    TOP,
    Landscape,
    box,
    ends,
    evaluated,
    holds,
    landscape,
    unit,
)
from machine import machine
from optuna.distributions import FloatDistribution
from rich.console import Console
from rich.table import Table
from targets import Result, results_table

from hpo.narrowing import decide
from hpo.narrowing.recommendation import standings
from hpo.narrowing.standing import settings_of
from hpo.space import Space
from hpo.trial import Trial, ranked

POINT = 0.01

Sampler = Callable[[Landscape, Space, Sequence[Trial], int, int, float], list[Trial]]


# Stages ------------------------------------------------------------------------------------------


def random_search(
    land: Landscape, space: Space, earlier: Sequence[Trial], n: int, seed: int, noise: float
) -> list[Trial]:
    rng = np.random.default_rng(seed)
    return [
        evaluated(
            land,
            len(earlier) + i,
            space.from_unit(rng.random(len(space)).tolist()),
            noise * rng.standard_normal(),
        )
        for i in range(n)
    ]


def tpe(
    land: Landscape, space: Space, earlier: Sequence[Trial], n: int, seed: int, noise: float
) -> list[Trial]:
    rng = np.random.default_rng(seed)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    ranges = {name: FloatDistribution(*ends(space, name)) for name in space}
    for trial in earlier:
        if space.contains(trial.params):
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(trial.params), distributions=dict(ranges), value=trial.value
                )
            )
    found = []
    for i in range(n):
        asked = study.ask(dict(ranges))
        error = noise * rng.standard_normal()
        trial = evaluated(land, len(earlier) + i, asked.params, error)
        study.tell(asked, trial.value)
        found.append(trial)
    return found


SAMPLERS: dict[str, Sampler] = {"random": random_search, "TPE": tpe}


# Narrowing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One narrowing of one stage."""

    landscape: str
    d: int
    n: int
    noise: float
    evidence: str
    lost: bool | None  # by location; None if it was not inside before
    worse: bool  # by value
    side: float  # geometric mean of what is kept of the relevant axes
    idle: float | None  # mean of what is kept of the idle ones
    widened: int  # axes
    changed: int
    inside: bool  # whether the new box holds the optimum


def steps(name: str, d: int, n: int, noise: float, evidence: str, seed: int) -> Iterator[Step]:
    land = landscape(name, d, seed)
    space, trials = unit(d), list[Trial]()
    for number in range(2):
        trials += SAMPLERS[evidence](land, space, trials, n, 1000 * seed + number, noise)
        decision = decide(
            space,
            trials,
            direction="maximize",
            limits=dict.fromkeys(space, LIMITS),
            rng=np.random.default_rng(seed),
            noise=noise,
            chance=CHANCE,
        )
        old, new = box(space), box(decision.space)
        kept = (new[1] - new[0]) / (old[1] - old[0])
        inside = holds(new, land)
        actions = [axis.action for axis in decision.axes.values()]
        yield Step(
            landscape=name,
            d=d,
            n=n,
            noise=noise,
            evidence=evidence,
            lost=not inside if holds(old, land) else None,
            worse=land.best_in(new) < land.best_in(old) - POINT,
            side=math.exp(np.log(kept[land.relevant]).mean()),
            idle=None if land.relevant.all() else float(kept[~land.relevant].mean()),
            widened=actions.count("widen"),
            changed=len(actions) - actions.count("keep"),
            inside=inside,
        )
        space = decision.space


def cells(quick: bool) -> Iterator[tuple[int, int]]:
    for d in (2, 3) if quick else (2, 3, 5, 7):
        for n in (33, 100):
            if n >= max(30, 10 * d):
                yield d, n


def narrowed(runs: int, quick: bool, evidence: str) -> list[Step]:
    return [
        step
        for d, n in cells(quick)
        for noise in (0.0, NOISE)
        for name in EVERY
        for seed in range(runs)
        for step in steps(name, d, n, noise, evidence, seed)
    ]


# Recommendation ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Advice:
    """What was recommended after one search, and what the best result would have been."""

    landscape: str
    evidence: str
    recommended: float  # regret
    maximum: float
    rivals: int
    covered: bool  # whether the best of the tried settings is recommended or a rival


def advised(runs: int, evidence: str, d: int = 3, n: int = 99) -> list[Advice]:
    found = []
    for name in INNER:
        for seed in range(runs):
            land, space = landscape(name, d, 500 + seed), unit(d)
            trials = SAMPLERS[evidence](land, space, [], n, seed, NOISE)
            settings = [s for s in settings_of(trials) if not s.diverged]
            first, *others = standings([space], settings, "maximize", NOISE)
            rivals = [standing.trial for standing in others if standing.tied]
            maximum, *_ = ranked(trials, "maximize")

            def regret(trial: Trial, land: Landscape = land) -> float:
                return TOP - land.score(np.array(list(trial.params.values())))

            fairest = min((t for t in trials if not t.diverged), key=regret)
            found.append(
                Advice(
                    name,
                    evidence,
                    regret(first.trial),
                    regret(maximum),
                    len(rivals),
                    fairest in (first.trial, *rivals),
                )
            )
    return found


def regrets(advices: Sequence[Advice]) -> tuple[float, float]:
    """Medians of each landscape, averaged: of the recommended setting and of the best result."""
    by_name = [[a for a in advices if a.landscape == name] for name in INNER]
    return (
        statistics.fmean(statistics.median(a.recommended for a in some) for some in by_name),
        statistics.fmean(statistics.median(a.maximum for a in some) for some in by_name),
    )


# Results -----------------------------------------------------------------------------------------


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan


def side(some: Sequence[Step]) -> float:
    return math.exp(statistics.fmean(math.log(s.side) for s in some)) if some else math.nan


def mean(numbers: Sequence[float]) -> float:
    return statistics.fmean(numbers) if numbers else math.nan


def results_of(all_steps: Sequence[Step], advices: Sequence[Advice]) -> Iterator[Result]:
    inner = [s for s in all_steps if s.landscape in INNER]
    # Apart by noise: together, what is easy without it would hide what is missed with it.
    for evidence, noise in dict.fromkeys((s.evidence, s.noise) for s in inner):
        here = [s for s in inner if (s.evidence, s.noise) == (evidence, noise)]
        small = [s for s in here if s.landscape == "bowl" and s.d <= 3]
        about = f"{evidence}, σ = {noise:g}"
        yield Result(f"{about}: lost by location", share(lost(here)), 0.02)
        yield Result(f"{about}: lost by value", share([s.worse for s in here]), 0.02)
        for n, limit in ((100, 0.6), (33, 0.8)):
            kept = side([s for s in small if s.n == n])
            yield Result(f"{about}: side kept, bowl, d ≤ 3, n = {n}", kept, limit)
        kept = mean([s.idle for s in here if s.idle is not None])
        yield Result(f"{about}: kept of idle axes", kept, 0.95, at_most=False)
        widened = share([s.widened > 0 for s in here])
        yield Result(f"{about}: steps with a false widening", widened, 0.05)
    for evidence, limit in (("TPE", 0.6), ("random", 0.85)):
        recommended, maximum = regrets([a for a in advices if a.evidence == evidence])
        what = f"{evidence}: regret of the recommended, part of the best result's"
        yield Result(what, recommended / maximum, limit)


def lost(some: Sequence[Step]) -> list[bool]:
    return [s.lost for s in some if s.lost is not None]


def steps_table(all_steps: Sequence[Step]) -> Table:
    table = Table(title="Narrowing, by what was searched", title_justify="left")
    for column in (
        "evidence", "d", "n", "σ", "steps", "lost %", "by value %", "side", "bowl", "idle",
        "false widening %", "edge held %", "chance widened %", "flat kept %",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "evidence" else "right")
    for key in dict.fromkeys((s.evidence, s.d, s.n, s.noise) for s in all_steps):
        here = [s for s in all_steps if (s.evidence, s.d, s.n, s.noise) == key]
        inner = [s for s in here if s.landscape in INNER]

        def of(name: str, here: Sequence[Step] = here) -> list[Step]:
            return [s for s in here if s.landscape == name]

        table.add_row(
            *map(str, key),
            str(len(inner)),
            f"{100 * share(lost(inner)):.1f}",
            f"{100 * share([s.worse for s in inner]):.1f}",
            f"{side(inner):.2f}",
            f"{side(of('bowl')):.2f}",
            f"{mean([s.idle for s in of('idle') if s.idle is not None]):.3f}",
            f"{100 * share([s.widened > 0 for s in inner]):.1f}",
            f"{100 * share([s.inside for s in of('edge')[1::2]]):.0f}",
            f"{100 * share([s.widened == s.d for s in of('flat at chance')[::2]]):.0f}",
            f"{100 * share([s.changed == 0 for s in of('flat at 0.6')]):.0f}",
        )
    return table


def advice_table(advices: Sequence[Advice]) -> Table:
    table = Table(title="Regret × 1000 after 99 trials, d = 3, σ = 0.04", title_justify="left")
    for column in ("evidence", "landscape", "recommended", "best result", "rivals", "covered %"):
        table.add_column(column, justify="right" if column in ("rivals",) else "left")
    for evidence in dict.fromkeys(a.evidence for a in advices):
        for name in INNER:
            some = [a for a in advices if (a.evidence, a.landscape) == (evidence, name)]
            table.add_row(
                evidence,
                name,
                f"{1000 * statistics.median(a.recommended for a in some):.1f}",
                f"{1000 * statistics.median(a.maximum for a in some):.1f}",
                f"{statistics.median(a.rivals for a in some):.0f}",
                f"{100 * share([a.covered for a in some]):.0f}",
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="What narrowing and recommending are worth.")
    parser.add_argument("--quick", action="store_true", help="d ≤ 3 and few runs: coarse")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw numbers")
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 140)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    about = machine()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)

    runs = 2 if options.quick else 10
    all_steps = [s for kind in SAMPLERS for s in narrowed(runs, options.quick, kind)]
    advices = [a for kind in SAMPLERS for a in advised(3 * runs, kind)]
    results = list(results_of(all_steps, advices))
    console.print(steps_table(all_steps))
    console.print(advice_table(advices))
    console.print(results_table(results))
    if options.json:
        answer = {
            "machine": about,
            "results": [{**asdict(result), "met": result.met} for result in results],
            "steps": [asdict(step) for step in all_steps],
            "advice": [asdict(advice) for advice in advices],
        }
        options.json.write_text(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
