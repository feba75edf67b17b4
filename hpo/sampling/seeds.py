"""Independent streams of random numbers, addressed by what they are for.

The stream of (seed, purpose, stage, number) is NumPy's `SeedSequence(seed, spawn_key=(purpose,
stage, number))`: a hash, so that neighbours are unrelated, and a function, so that any process
can draw setting 17 without drawing the 16 before it. (Salmon, Moraes, Dror and Shaw, "Parallel
random numbers: as easy as 1, 2, 3", SC 2011, make the case for addressing over sequences.)
"""

from __future__ import annotations

import enum

import numpy as np


class Purpose(enum.IntEnum):
    """What a stream is for. The numbers are part of every stored study: never renumber."""

    SETTING = 0
    """The uniform draws of a setting."""
    OPTIMIZER = 1
    """The seed of a library's sampler, made anew for a setting."""
    SEQUENCE = 2
    """The scrambling of a stage's Sobol' sequence."""
    RESTART = 3
    """Where CMA-ES starts again after it has converged."""
    RUN = 4
    """`run.seed`: weights and batches of a trial."""
    NARROWING = 5
    """What the narrowing of a stage draws."""
    TEST = 6
    """The seeds of the retraining before the test."""


def generator(seed: int, purpose: Purpose, stage: int, number: int = 0) -> np.random.Generator:
    """Return the generator of a stream."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, purpose, stage, number)))


def word(seed: int, purpose: Purpose, stage: int, number: int) -> int:
    """Return 32 random bits, for what takes an integer: `RandomState` allows no more."""
    return int(_sequence(seed, purpose, stage, number).generate_state(1, np.uint32)[0])


def _sequence(seed: int, purpose: Purpose, stage: int, number: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(purpose), stage, number))
