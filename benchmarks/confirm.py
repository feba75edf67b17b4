"""How often the intervals of `hpo confirm` hold what they promise.

    python benchmarks/confirm.py [--quick]

Scores are drawn from normal distributions: k settings on the same r seeds, whose scores have a
correlation ρ. The settings' spread is equal, or grows fourfold from the first to the last; their
means are all alike ("ties"), or two standard deviations apart. In each repetition the setting with
the best mean is picked, as `hpo best` does.

all: every interval covers its setting's true mean. picked: the interval of the picked one does.
plain: so often a t-interval of the picked one alone would. wrong: a setting is said to differ from
the picked one that is as good or better. told: of the settings that are worse, so many are told
apart.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from hpo.confirmation import CONFIDENCE, intervals

SHAPES = ((5, 5), (5, 3), (5, 10), (2, 5), (2, 3), (2, 10))
CORRELATIONS = (0.0, 0.5, 0.9)


@dataclass(frozen=True)
class Case:
    """What the scores are like."""

    settings: int
    seeds: int
    correlation: float
    spread: str
    means: str

    def truth(self) -> NDArray[np.float64]:
        apart = 2.0 if self.means == "apart" else 0.0
        return -apart * np.arange(self.settings)

    def draw(self, generator: np.random.Generator) -> NDArray[np.float64]:
        shared = generator.standard_normal((1, self.seeds))
        own = generator.standard_normal((self.settings, self.seeds))
        noise = np.sqrt(self.correlation) * shared + np.sqrt(1 - self.correlation) * own
        largest = 4.0 if self.spread == "unequal" else 1.0
        sd = np.geomspace(1.0, largest, self.settings)
        return self.truth()[:, None] + sd[:, None] * noise


@dataclass(frozen=True)
class Held:
    """Shares of the repetitions; `told` of the worse settings, NaN if there are none."""

    all: float
    picked: float
    plain: float
    wrong: float
    told: float


def measure(case: Case, repetitions: int, seed: int = 0) -> Held:
    generator = np.random.default_rng(seed)
    found = [_once(case, case.draw(generator)) for _ in range(repetitions)]
    every, picked, plain, wrong, told, worse = np.array(found, dtype=float).T
    share = told.sum() / worse.sum() if worse.any() else float("nan")
    return Held(every.mean(), picked.mean(), plain.mean(), wrong.mean(), share)


def _once(case: Case, scores: NDArray[np.float64]) -> tuple[float, ...]:
    order = np.argsort(-scores.mean(-1))
    scores, truth = scores[order], case.truth()[order]
    said = intervals(scores.tolist())
    covers = [s.low <= t <= s.high for s, t in zip(said, truth, strict=True)]
    half = stdtrit(case.seeds - 1, (1 + CONFIDENCE) / 2) * said[0].se
    worse = truth < truth[0]
    differs = np.array([not s.tied for s in said])
    return (
        all(covers),
        covers[0],
        abs(said[0].mean - truth[0]) <= half,
        (differs & ~worse).any(),
        (differs & worse).sum(),
        worse.sum(),
    )


def cases() -> Iterator[Case]:
    for (settings, seeds), correlation, spread, means in itertools.product(
        SHAPES, CORRELATIONS, ("equal", "unequal"), ("ties", "apart")
    ):
        yield Case(settings, seeds, correlation, spread, means)


def main() -> None:
    parser = argparse.ArgumentParser(description="How often the intervals of confirm hold.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    repetitions = 100 if parser.parse_args().quick else 1000
    table = Table("k", "r", "ρ", "spread", "means", "all", "picked", "plain", "wrong", "told")
    for number, case in enumerate(cases()):
        shares = astuple(measure(case, repetitions, seed=number))
        told = ["–" if np.isnan(share) else f"{share:.1%}" for share in shares]
        table.add_row(*map(str, astuple(case)), *told)
    error = 2 * (0.95 * 0.05 / repetitions) ** 0.5
    console = Console(width=None if Console().is_terminal else 110)
    console.print(table)
    console.print(f"{repetitions} repetitions a line: 95 % is known to ± {error:.1%}")


if __name__ == "__main__":
    main()
