"""Optuna's tables, spelled out, at the schema that Optuna 3.2 to 5.0 share.

hpo keeps its trials in them, so that every stock Optuna tool reads a database of ours. Optuna's
own definitions are not imported for it: its models and Alembic cost 0.4 s, which every command
would pay before its first word. A test holds this copy equal to what Optuna creates.
"""

from __future__ import annotations

from importlib.metadata import version

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.exc import OperationalError

from hpo.errors import DatabaseError

HEAD = "v3.2.0.a"

_OLDER = (
    "v0.9.0.a",
    "v1.2.0.a",
    "v1.3.0.a",
    "v2.4.0.a",
    "v2.6.0.a",
    "v3.0.0.a",
    "v3.0.0.b",
    "v3.0.0.c",
    "v3.0.0.d",
)
_SCHEMA_VERSION = 12  # Frozen since Optuna moved to Alembic.
_NAME_LENGTH = 512
_DOUBLE = 53

METADATA = MetaData()

# Stored by name. On SQLite a VARCHAR as wide as the longest name, elsewhere a type of that name.
_DIRECTION = Enum("NOT_SET", "MINIMIZE", "MAXIMIZE", name="studydirection")
_STATE = Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate")
_VALUE_TYPE = Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype")
_INTERMEDIATE_TYPE = Enum("FINITE", "INF_POS", "INF_NEG", "NAN", name="trialintermediatevaluetype")


def _attributes(owner: str, kind: str) -> Table:
    """Return one of the four tables of JSON attributes, which differ in their names only."""
    id_column = f"{owner}_id"
    owners = {"study": "studies", "trial": "trials"}[owner]
    return Table(
        f"{owner}_{kind}_attributes",
        METADATA,
        Column(f"{owner}_{kind}_attribute_id", Integer, primary_key=True),
        Column(id_column, Integer, ForeignKey(f"{owners}.{id_column}")),
        Column("key", String(_NAME_LENGTH)),
        Column("value_json", Text),
        UniqueConstraint(id_column, "key"),
    )


studies = Table(
    "studies",
    METADATA,
    Column("study_id", Integer, primary_key=True),
    Column("study_name", String(_NAME_LENGTH), index=True, unique=True, nullable=False),
)

study_directions = Table(
    "study_directions",
    METADATA,
    Column("study_direction_id", Integer, primary_key=True),
    Column("direction", _DIRECTION, nullable=False),
    Column("study_id", Integer, ForeignKey("studies.study_id"), nullable=False),
    Column("objective", Integer, nullable=False),
    UniqueConstraint("study_id", "objective"),
)

study_user_attributes = _attributes("study", "user")
study_system_attributes = _attributes("study", "system")

trials = Table(
    "trials",
    METADATA,
    Column("trial_id", Integer, primary_key=True),
    Column("number", Integer),
    Column("study_id", Integer, ForeignKey("studies.study_id"), index=True),
    Column("state", _STATE, nullable=False),
    Column("datetime_start", DateTime),
    Column("datetime_complete", DateTime),
)

trial_user_attributes = _attributes("trial", "user")
trial_system_attributes = _attributes("trial", "system")

trial_params = Table(
    "trial_params",
    METADATA,
    Column("param_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id")),
    Column("param_name", String(_NAME_LENGTH)),
    Column("param_value", Float(precision=_DOUBLE)),
    Column("distribution_json", Text),
    UniqueConstraint("trial_id", "param_name"),
)

trial_values = Table(
    "trial_values",
    METADATA,
    Column("trial_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("objective", Integer, nullable=False),
    Column("value", Float(precision=_DOUBLE)),
    Column("value_type", _VALUE_TYPE, nullable=False),
    UniqueConstraint("trial_id", "objective"),
)

trial_intermediate_values = Table(
    "trial_intermediate_values",
    METADATA,
    Column("trial_intermediate_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("step", Integer, nullable=False),
    Column("intermediate_value", Float(precision=_DOUBLE)),
    Column("intermediate_value_type", _INTERMEDIATE_TYPE, nullable=False),
    UniqueConstraint("trial_id", "step"),
)

trial_heartbeats = Table(
    "trial_heartbeats",
    METADATA,
    Column("trial_heartbeat_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("heartbeat", DateTime, nullable=False),
    UniqueConstraint("trial_id"),
)

version_info = Table(
    "version_info",
    METADATA,
    Column("version_info_id", Integer, primary_key=True, autoincrement=False),
    Column("schema_version", Integer),
    Column("library_version", String(256)),
    CheckConstraint("version_info_id=1"),
)

# Optuna's, never ours: a second row here makes Optuna refuse the database
# (https://github.com/mlflow/mlflow/issues/2923). Ours is `hpo_alembic_version`.
alembic_version = Table(
    "alembic_version",
    METADATA,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def create_and_stamp(connection: Connection) -> None:
    """Create Optuna's tables and mark them as complete, all in the caller's transaction.

    One transaction, because Optuna's own constructor does it in several and fails when other
    processes open the new file meanwhile (https://github.com/optuna/optuna/issues/4621).

    Args:
        connection: A connection in a write transaction, on a database without these tables.
    """
    METADATA.create_all(connection, checkfirst=False)
    connection.execute(
        version_info.insert().values(
            version_info_id=1, schema_version=_SCHEMA_VERSION, library_version=version("optuna")
        )
    )
    connection.execute(alembic_version.insert().values(version_num=HEAD))


def check_head(connection: Connection) -> None:
    """Refuse a database whose Optuna tables are not exactly those of this module.

    Raises:
        DatabaseError: There are none, or they are older, newer or ambiguous.
    """
    name = connection.engine.url.database
    try:
        heads = (
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
        )
    except OperationalError as error:
        if "no such table" not in str(error.orig):
            raise
        heads = []
    if heads == [HEAD]:
        return
    if not heads:
        raise DatabaseError(
            f"{name} is not an Optuna database: it has no schema version. Look with: hpo db status"
        )
    if len(heads) > 1:
        raise DatabaseError(
            f"{name} has {len(heads)} rows in Optuna's table alembic_version, where exactly "
            f"one belongs ({HEAD}). Another program wrote there: remove its row, "
            "then look with: hpo db check"
        )
    if heads[0] in _OLDER:
        raise DatabaseError(
            f"{name} was made by an older Optuna (schema {heads[0]}, needed {HEAD}). "
            f"Bring it up to date: optuna storage upgrade --storage {connection.engine.url}"
        )
    raise DatabaseError(
        f"{name} has the Optuna schema {heads[0]}, which this hpo does not know (it knows "
        f"{HEAD}). Update hpo: pip install -U hpo-service"
    )


def present(connection: Connection) -> bool:
    """Return whether a database has exactly these tables of Optuna's."""
    try:
        check_head(connection)
    except DatabaseError:
        return False
    return True
