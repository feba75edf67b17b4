"""A finding: what is said about a study, and whether its numbers bear it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One sentence that a study was made to check.

    Args:
        claim: What is said, for example "the others are ahead of SGD".
        measured: What the study measured about it, with its numbers.
        holds: Whether the numbers bear the claim out.
    """

    claim: str
    measured: str
    holds: bool
