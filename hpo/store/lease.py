"""How long a slot belongs to a supervisor that says nothing any more.

A lease ends at a time of the host's monotonic clock, which all of its processes read alike and
which nobody can set: a wall clock that is put forward must not make living supervisors look dead.
It stands still while the machine sleeps, so that after waking two supervisors do not take each
other's slots. It starts anew with the machine; the boot id in the owner's name tells that.
"""

from __future__ import annotations

import time

from hpo.store import owner

LEASE_S = 60.0
"""A supervisor that was stopped for longer has lost its slots, if another wants them."""


def ends() -> float:
    """Return when a lease ends that begins or is extended now."""
    return time.monotonic() + LEASE_S


def forfeited(name: str, lease: float) -> str | None:
    """Return why a slot is its owner's no more: "abandoned", "expired", or None while it is.

    Args:
        name: The owner of the slot.
        lease: When its lease ends.
    """
    if not owner.alive(name):
        return "abandoned"
    return "expired" if time.monotonic() > lease else None
