"""The tables of `hpo`, beside Optuna's in the same database.

They are created and changed by the migrations in `alembic/versions`; this is their newest form.
Nothing here points at an id of Optuna's: SQLite gives a deleted study's id to the next one, and
the dashboard's "rename" copies a study to a new id. The link is the stage's UUID, which the Optuna
study carries as a user attribute.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy import Column as C

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with zone, stored as ISO 8601 in UTC: SQLite has no type that keeps the zone."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Refuse a time without zone, write the others in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read a time with its zone."""
        return None if value is None else datetime.fromisoformat(value)


studies = Table(
    "hpo_studies",
    metadata,
    C("id", Integer, primary_key=True),
    C("uuid", String(36), nullable=False, unique=True),
    C("name", String(256), nullable=False, unique=True),
    C("definition", JSON, nullable=False),
    C("definition_hash", String(64), nullable=False),
    C("seed", Integer, nullable=False),
    C("description", JSON(none_as_null=True)),  # what `describe` said of the data
    C("environment", JSON, nullable=False),  # versions, platform, folder, origin
    C("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

stages = Table(
    "hpo_stages",
    metadata,
    C("id", Integer, primary_key=True),
    C("uuid", String(36), nullable=False, unique=True),
    C("study_id", ForeignKey("hpo_studies.id"), nullable=False),
    C("number", Integer, nullable=False),
    C("parent_id", ForeignKey("hpo_stages.id")),
    C("optuna_study", String(512), nullable=False),  # its name when it was made
    C("kind", String(16), nullable=False),  # start | narrow | widen | manual | confirm
    C("space", JSON, nullable=False),
    C("evidence", JSON(none_as_null=True)),  # what `narrow` decided, or the settings of `confirm`
    C("sampler", String(16), nullable=False),
    C("budget", Integer, nullable=False),
    C("seeds", Integer, nullable=False),
    C("created_at", UtcDateTime, nullable=False),
    C("finished_at", UtcDateTime),
    UniqueConstraint("study_id", "number"),
    sqlite_autoincrement=True,
)

slots = Table(
    "hpo_slots",
    metadata,
    C("id", Integer, primary_key=True),
    C("stage_id", ForeignKey("hpo_stages.id"), nullable=False),
    C("slot", Integer, nullable=False),
    C("state", String(8), nullable=False),  # open | running | complete | pruned | failed
    C("attempt", Integer, nullable=False),  # rises with every claim: the fencing token
    C("owner", String(128)),  # the supervisor that runs it, see `hpo/store/owner.py`
    C("seed", Integer),  # run.seed
    C("diverged_at", Integer),
    C("seconds", Float),
    C("reason", String(16)),  # error | lost | timeout | memory | diverged | told
    C("error", Text),  # traceback of the objective's exception, or how its last worker ended
    C("lease", Float),  # the owner's hold on the slot ends then, see `hpo/store/lease.py`
    UniqueConstraint("stage_id", "slot"),
    # The lowest open slot of a stage is found without reading the finished ones.
    Index(None, "stage_id", "state", "slot"),
    sqlite_autoincrement=True,
)

retries = Table(
    "hpo_retries",
    metadata,
    C("slot_id", ForeignKey("hpo_slots.id"), primary_key=True),
    C("attempt", Integer, primary_key=True),  # one that was begun and did not count
    C("reason", String(16), nullable=False),  # see `Trial.retried`
    C("owner", String(128)),  # whose attempt it was
    C("ended_at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)

findings = Table(
    "hpo_findings",
    metadata,
    C("study_id", ForeignKey("hpo_studies.id"), primary_key=True),
    C("number", Integer, primary_key=True),
    C("claim", Text, nullable=False),
    C("measured", Text, nullable=False),
    C("holds", Boolean, nullable=False),
    C("found_at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)

test_uses = Table(
    "hpo_test_uses",
    metadata,
    C("study_id", ForeignKey("hpo_studies.id"), primary_key=True),
    C("number", Integer, primary_key=True),  # 1 for the first use, and so on
    C("stage_id", ForeignKey("hpo_stages.id"), nullable=False),
    C("slot", Integer, nullable=False),  # of the tested setting
    C("params", JSON, nullable=False),
    C("value", Float, nullable=False),  # its validation score, when it was chosen
    C("seeds", JSON, nullable=False),
    C("results", JSON, nullable=False),  # one for each seed: null until it is recorded
    C("begun_at", UtcDateTime, nullable=False),
    C("finished_at", UtcDateTime),
    sqlite_with_rowid=False,
)

curves = Table(
    "hpo_curves",
    metadata,
    C("slot_id", ForeignKey("hpo_slots.id"), primary_key=True),
    C("attempt", Integer, primary_key=True),
    C("step", Integer, primary_key=True),
    C("seconds", Float, nullable=False),  # since the attempt began
    C("metrics", JSON, nullable=False),  # "NaN", "Infinity", "-Infinity" where JSON has no number
    sqlite_with_rowid=False,
)
