"""What passes between a supervisor and the ledger: an attempt at a slot, from claim to outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Opening:
    """A slot that may be claimed.

    Args:
        slot: Its number in the stage; also the number of its trial.
        params: What an earlier attempt or another replicate has drawn; None if nobody has.
    """

    slot: int
    params: Mapping[str, Any] | None


@dataclass(frozen=True)
class Claim:
    """A slot that this process runs.

    Args:
        slot: Its number in the stage.
        attempt: The fencing token.
        slot_id: Its row in `hpo_slots`.
        trial_id: Its row in Optuna's `trials` when it was claimed.
        params: The parameters of its trial.
    """

    slot: int
    attempt: int
    slot_id: int
    trial_id: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """What the objective reported at one step.

    Args:
        step: Epoch, iteration or layer.
        seconds: Time since the attempt began.
        metrics: Floats by name; they may be NaN or infinite.
    """

    step: int
    seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Args:
        state: The state that the slot takes.
        value: The score; None for a failure.
        seconds: Duration of the attempt.
        diverged_at: Step at which training stopped being finite.
        reason: Why it failed.
        error: Traceback of the objective's exception.
    """

    state: Literal["complete", "pruned", "failed"]
    value: float | None
    seconds: float
    diverged_at: int | None = None
    reason: str | None = None
    error: str | None = None
