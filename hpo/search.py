"""How a space is searched: what the `[search]` table of a definition says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["maximize", "minimize"]
SamplerName = Literal["random", "tpe", "gp", "cmaes", "qmc", "grid"]
PrunerName = Literal["none", "median", "asha", "hyperband"]

MOST_TRIALS = 1_000_000
"""Of a stage; a slip of the keyboard must not fill a disk."""


@dataclass(frozen=True)
class Search:
    """The `[search]` table: how the space is searched.

    Args:
        sampler: How settings are drawn in stage 1; None for what suits the number of parameters,
            see `Definition.sampler`.
        pruner: How trials that fall behind are given up, see `hpo/pruning.py`.
        trials: Trials per stage, replicates included.
        seed: Seed of everything random in the study.
        seeds: Replicates of each setting, each with a seed that all settings share.
        timeout: Seconds after which a run stops; its stage stays open.
        trial_timeout: Seconds after which a trial is stopped and counts as failed.
        trial_memory: Bytes of memory at which a trial is stopped and counts as failed; a file may
            write "2GB".
        max_attempts: How often a trial is begun whose worker keeps dying.
        durability: Whether a result that was stored survives, beside the death of any process,
            a power cut: "normal" or "full".
    """

    sampler: SamplerName | None = None
    pruner: PrunerName = "none"
    trials: int = 100
    seed: int = 0
    seeds: int = 1
    timeout: float | None = None
    trial_timeout: float | None = None
    trial_memory: int | None = None
    max_attempts: int = 3
    durability: Literal["normal", "full"] = "normal"
