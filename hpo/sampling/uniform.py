"""Random search, as the book does it: `10 ** uniform(-6, -2)`.

(Saito, "Deep Learning from Scratch", §6.5; Bergstra and Bengio, "Random search for
hyper-parameter optimization", JMLR 13, 2012.)
"""

from __future__ import annotations

from typing import Any

from hpo.sampling import seeds
from hpo.sampling.request import Request


def suggest(request: Request) -> dict[str, Any]:
    """Return a setting that is uniform on every axis, on a log axis in logarithms."""
    return request.space.from_unit(position(request))


def position(request: Request) -> list[float]:
    """Return the setting's point of the unit cube: one draw per axis, in declared order."""
    stream = seeds.generator(request.seed, seeds.Purpose.SETTING, request.stage, request.setting)
    return [float(u) for u in stream.random(len(request.space))]
