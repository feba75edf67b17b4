"""Landscapes with a known optimum: each way to search them, and the regret of what it recommends.

The samplers, the decision and the recommendation are the product's own, called trial by trial as
its supervisor does with one worker.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from landscapes import (
    CHANCE,
    INNER,
    LIMITS,
    NOISE,
    TOP,
    Landscape,
    box,
    evaluated,
    holds,
    unit,
)
from landscapes import landscape as make

from hpo.definition import Definition
from hpo.narrowing import DEFAULT_RULE, Rule, decide
from hpo.narrowing.recommendation import standings
from hpo.narrowing.standing import settings_of
from hpo.sampling import Request, suggest
from hpo.sampling.seeds import Purpose, generator
from hpo.space import Float, Space
from hpo.trial import Trial, ranked

__all__ = ["NOISE", "OUTSIDE", "STAGE", "pairs", "searched"]

STAGES = 3
STAGE = {2: 33, 3: 33, 5: 50, 7: 70}
"""Trials of a stage by dimension: what narrowing needs, and 33 at least."""
OUTSIDE = ("edge", "flat start")
_SEEDS = 5000  # those of the other benchmarks are lower; docs/search.md says what was chosen here


@dataclass
class Search:
    """A search as it goes on."""

    land: Landscape
    noise: float
    seed: int
    spaces: list[Space]  # the newest first
    trials: list[Trial] = field(default_factory=list)
    samplers: list[str] = field(default_factory=list)  # of the stages
    stopped: str | None = None

    def __post_init__(self) -> None:
        self.errors = np.random.default_rng(self.seed)

    def run_stage(self, sampler: str, trials: int) -> None:
        self.samplers.append(sampler)
        space, number = self.spaces[0], len(self.samplers)
        for setting in range(trials):
            request = Request(space, self.seed, number, setting, trials, "maximize")
            params = suggest(sampler, request, self.trials)
            # Trial n of every way to search has the same error.
            error = self.noise * self.errors.standard_normal()
            self.trials.append(evaluated(self.land, setting, params, error, number))

    def recommended(self) -> Trial:
        settings = [s for s in settings_of(self.trials) if not s.diverged]
        return standings(self.spaces, settings, "maximize", self.noise)[0].trial


Way = Callable[[Search, int], None]


def in_one_box(sampler: str, beyond: float = 0.0) -> Way:
    def search(this: Search, trials: int) -> None:
        grown = Float(-beyond, 1.0 + beyond)
        this.spaces = [Space(dict.fromkeys(this.spaces[0], grown))]
        this.run_stage(sampler, STAGES * trials)

    return search


def in_stages(rule: Rule, first: str | None = None, to_the_end: bool = False) -> Way:
    """Return what `hpo start --stages 3` does, or `hpo narrow --rule` twice.

    Args:
        rule: Decides on the ranges.
        first: Sampler of stage 1; None for what suits the space.
        to_the_end: Whether TPE gets the trials that are left where the rule stops.
    """

    def search(this: Search, trials: int) -> None:
        (space,) = this.spaces
        this.run_stage(first or Definition("toy", "toy:f", "maximize", space).sampler, trials)
        for number in range(1, STAGES):
            # The recommended setting stays inside.
            keep = [t for t in [this.recommended()] if this.spaces[0].contains(t.params)]
            decision = decide(
                this.spaces[0],
                this.trials,
                direction="maximize",
                limits=dict.fromkeys(space, LIMITS),
                rng=generator(this.seed, Purpose.NARROWING, number),
                rule=rule,
                noise=this.noise,
                chance=CHANCE,
                keep=keep,
            )
            if decision.stop is not None:
                this.stopped = decision.stop
                if to_the_end:
                    this.run_stage("tpe", STAGES * trials - len(this.trials))
                return
            this.spaces.insert(0, decision.space)
            this.run_stage(decision.sampler, trials)

    return search


METHODS: dict[str, Way] = {
    "random": in_one_box("random"),
    "QMC": in_one_box("qmc"),
    "book": in_stages(Rule("book"), "random"),
    "TPE": in_one_box("tpe"),
    "CMA-ES": in_one_box("cmaes"),
    "GP": in_one_box("gp"),
    "hpo": in_stages(DEFAULT_RULE),
    "hpo, to the end": in_stages(DEFAULT_RULE, to_the_end=True),
    "TPE, wide box": in_one_box("tpe", beyond=0.5),
}
if importlib.util.find_spec("torch") is None:
    del METHODS["GP"]


def pairs() -> Iterator[tuple[str, str]]:
    """Return each landscape with each way to search it."""
    for name in (*INNER, *OUTSIDE):
        for method in METHODS:
            if name in OUTSIDE or method != "TPE, wide box":
                yield name, method


@dataclass(frozen=True)
class Found:
    """What one search recommended, and what that is worth: regrets, without noise."""

    recommended: float
    maximum: float  # of the best result
    trials: int
    samplers: list[str]
    stopped: str | None
    held: bool  # whether the last box holds the optimum


def searched(d: int, noise: float, landscape: str, method: str, seed: int) -> Found:
    land = make(landscape, d, _SEEDS + seed)
    this = Search(land, noise, seed, [unit(d)])
    METHODS[method](this, STAGE[d])

    def regret(trial: Trial) -> float:
        return TOP - land.score(np.array(list(trial.params.values())))

    return Found(
        recommended=regret(this.recommended()),
        maximum=regret(ranked(this.trials, "maximize")[0]),
        trials=len(this.trials),
        samplers=this.samplers,
        stopped=this.stopped,
        held=holds(box(this.spaces[0]), land),
    )
