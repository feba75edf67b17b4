"""The findings of a study: written as a whole, read as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select

from hpo.finding import Finding
from hpo.store.tables import findings
from hpo.study import Study


def replace_findings(connection: Connection, study: Study, found: Sequence[Finding]) -> None:
    """Store what is found now in place of what was found before."""
    connection.execute(delete(findings).where(findings.c.study_id == study.id))
    now = datetime.now(UTC)
    for number, finding in enumerate(found):
        connection.execute(
            findings.insert().values(
                study_id=study.id,
                number=number,
                claim=finding.claim,
                measured=finding.measured,
                holds=finding.holds,
                found_at=now,
            )
        )


def study_findings(connection: Connection, study: Study) -> list[Finding]:
    """Return the findings of a study, in their order."""
    rows = connection.execute(
        select(findings).where(findings.c.study_id == study.id).order_by(findings.c.number)
    )
    return [Finding(row.claim, row.measured, row.holds) for row in rows]
