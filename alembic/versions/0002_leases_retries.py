"""Leases on slots, and why an attempt did not count.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("hpo_slots", sa.Column("lease", sa.Float(), nullable=True))
    # Their owners may be of another container, where nobody can see that they are dead.
    op.execute("UPDATE hpo_slots SET lease = 0 WHERE state = 'running'")
    op.create_table(
        "hpo_retries",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("ended_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["slot_id"], ["hpo_slots.id"], name=op.f("fk_hpo_retries_slot_id")),
        sa.PrimaryKeyConstraint("slot_id", "attempt", name=op.f("pk_hpo_retries")),
        sqlite_with_rowid=False,
    )
    # Of the earlier attempts it was counted how many were lost, not written down which.
    op.execute(
        """
        WITH RECURSIVE past (slot_id, attempt, last, losses) AS (
            SELECT id, 1, attempt - (state != 'open'), losses FROM hpo_slots
            UNION ALL
            SELECT slot_id, attempt + 1, last, losses FROM past WHERE attempt < last
        )
        INSERT INTO hpo_retries (slot_id, attempt, reason, ended_at)
        SELECT
            slot_id,
            attempt,
            iif(losses = last, 'lost', 'unknown'),
            strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')
        FROM past WHERE last > 0
        """
    )
    op.drop_column("hpo_slots", "losses")


def downgrade() -> None:
    op.add_column(
        "hpo_slots", sa.Column("losses", sa.Integer(), nullable=False, server_default="0")
    )
    op.drop_table("hpo_retries")
    op.drop_column("hpo_slots", "lease")
