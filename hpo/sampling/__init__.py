"""Samplers: pure functions from (space, seed, stage, setting, evidence) to parameters.

Nothing is remembered between two calls, so a stage that was interrupted goes on as if it had
not been. Random, QMC and grid are functions of the setting's number alone and give the same
settings for any number of workers; TPE, GP and CMA-ES also look at the trials that there are.

Importing this package costs nothing: NumPy, SciPy and Optuna are imported by the first call
that needs them, because the command line only wants the names.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Collection, Sequence
from typing import Any

from hpo.errors import DefinitionError, MissingExtraError
from hpo.sampling.request import Request
from hpo.space import Choice, Space
from hpo.trial import Trial

__all__ = [
    "GIVEN",
    "SAMPLERS",
    "UNIFORM",
    "Request",
    "check",
    "final_seeds",
    "needs_evidence",
    "run_seed",
    "suggest",
]

SAMPLERS = ("random", "tpe", "gp", "cmaes", "qmc", "grid")
UNIFORM = frozenset({"random", "qmc", "grid"})
"""Samplers that cover the space evenly, whatever the other trials gave."""
GIVEN = "given"
"""What a stage of `confirm` has in the place of a sampler; nobody can choose it."""


def needs_evidence(sampler: str) -> bool:
    """Return whether a sampler looks at the trials that there are."""
    return sampler not in (*UNIFORM, GIVEN)


def check(sampler: str, space: Space, settings: int) -> int:
    """Refuse a sampler that cannot search a space, before anything is created.

    Args:
        sampler: Name of the sampler.
        space: The space that it is to search.
        settings: How many settings the stage asks for.

    Returns:
        How many settings the sampler will use: for the grid the number of its points, which is
        at most `settings`; for the others `settings`.

    Raises:
        DefinitionError: Names what does not fit and what would.
        MissingExtraError: The sampler needs a package that is not installed.
    """
    if sampler not in SAMPLERS:
        raise _unknown(sampler)
    if not len(space):
        raise DefinitionError("[space] is empty: name at least one parameter to search")
    if sampler in ("grid", "qmc") and space.conditional:
        raise DefinitionError(
            f"[space] {space.conditional[0]}: the {sampler} sampler cannot search a parameter "
            "that exists only under a condition; use random, tpe, gp or cmaes"
        )
    if sampler == "grid":
        from hpo.sampling import grid

        return grid.size(space, settings)
    if sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise MissingExtraError("The gp sampler", "gp")
    if sampler == "cmaes" and all(isinstance(a, Choice) or a.when for a in space.axes.values()):
        raise DefinitionError(
            "The cmaes sampler needs a parameter with low and high that exists under no "
            "condition, and [space] has none; use random, tpe or gp"
        )
    return settings


def suggest(sampler: str, request: Request, evidence: Sequence[Trial]) -> dict[str, Any]:
    """Return the parameters of one setting.

    Args:
        sampler: Name of the sampler; `check` must have passed.
        request: The setting that is asked for.
        evidence: The trials of this stage and of its ancestors, in any order. What lies outside
            the space is passed over, so is a failed trial. Random, QMC and grid ignore it all.

    Returns:
        A value for each parameter that exists at this setting, as plain Python numbers, strings
        and booleans, in the order of declaration.
    """
    match sampler:
        case "random":
            from hpo.sampling import uniform

            return uniform.suggest(request)
        case "qmc":
            from hpo.sampling import sobol

            return sobol.suggest(request)
        case "grid":
            from hpo.sampling import grid

            return grid.suggest(request)
        case "given":
            from hpo.sampling import given

            return given.suggest(request)
        case "cmaes":
            from hpo.sampling import evolution

            return evolution.suggest(request, evidence)
        case "tpe":
            from hpo.sampling import bayesian

            return bayesian.tpe(request, evidence)
        case "gp":
            from hpo.sampling import bayesian

            return bayesian.gp(request, evidence)
        case _:
            raise _unknown(sampler)


def run_seed(seed: int, stage: int, unit: int) -> int:
    """Return `run.seed` of a slot, 32 bits that share nothing with the samplers' draws.

    Args:
        seed: The study's seed.
        stage: Number of the stage.
        unit: Number of the slot; of the replicate when each setting has several, so that all
            settings meet the same seeds and their comparison is paired.
    """
    from hpo.sampling import seeds

    return seeds.word(seed, seeds.Purpose.RUN, stage, unit)


def final_seeds(seed: int, count: int, taken: Collection[int]) -> list[int]:
    """Return different seeds for the retraining before the test, 32 bits each.

    They are the same at every use of the test set: a repetition is no other draw of luck, and two
    settings meet the same seeds.

    Args:
        seed: The study's seed.
        count: How many.
        taken: The seeds of the search, which are passed over.
    """
    from hpo.sampling import seeds

    words = (seeds.word(seed, seeds.Purpose.TEST, 0, number) for number in itertools.count())
    found: dict[int, None] = {}
    while len(found) < count:
        word = next(words)
        if word not in taken:
            found[word] = None
    return list(found)


def _unknown(sampler: str) -> DefinitionError:
    return DefinitionError(
        f"[search] sampler: there is no sampler {sampler!r}; allowed are {', '.join(SAMPLERS)}"
    )
