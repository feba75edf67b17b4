"""What every sampler is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.space import Space


@dataclass(frozen=True)
class Request:
    """One setting that is to be chosen.

    Args:
        space: The space of the stage.
        seed: The study's seed.
        stage: Number of the stage in the study, from 1.
        setting: Number of the setting in the stage, from 0.
        settings: How many settings the stage has: its budget divided by its replicates.
        direction: "maximize" or "minimize".
        replicates: How many trials a setting has (`seeds` of the definition): trial number n
            belongs to setting n // replicates.
        given: The settings of a stage whose settings are given: those of `confirm`.
    """

    space: Space
    seed: int
    stage: int
    setting: int
    settings: int
    direction: str
    replicates: int = 1
    given: Sequence[Mapping[str, Any]] = ()
