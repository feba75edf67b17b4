"""What a check says of a study."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class Verdict:
    """What one check says.

    Args:
        check: Name of the check, as "edge".
        status: "fail": no conclusion should be drawn from the study as it stands; "warn":
            something that can be had better; "pass": neither.
        message: One sentence with the numbers that led there.
        remedy: A command or a sentence; None if all is well.
    """

    check: str
    status: Status
    message: str
    remedy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as `hpo check --json` prints it."""
        return asdict(self)
