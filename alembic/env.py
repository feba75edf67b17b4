"""Runs the migrations of hpo's own tables.

The database also holds Optuna's tables with their own `alembic_version`: ours are kept apart by
the name of the version table and by looking at nothing that does not start with `hpo_`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from hpo.store.engine import open_engine, writing
from hpo.store.migrations import VERSION_TABLE
from hpo.store.tables import metadata


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    return kind != "table" or (name is not None and name.startswith("hpo_"))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=is_ours,
        render_as_batch=True,  # SQLite alters a table by copying it
    )
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:  # `alembic revision` in a checkout: -x url=sqlite:///some.db
    with writing(open_engine(context.get_x_argument(as_dictionary=True)["url"], "write")) as own:
        run(own)
