"""Every use of the test set.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hpo_test_uses",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("seeds", sa.JSON(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("begun_at", sa.String(length=32), nullable=False),
        sa.Column("finished_at", sa.String(length=32)),
        sa.ForeignKeyConstraint(
            ["study_id"], ["hpo_studies.id"], name=op.f("fk_hpo_test_uses_study_id")
        ),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["hpo_stages.id"], name=op.f("fk_hpo_test_uses_stage_id")
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("pk_hpo_test_uses")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("hpo_test_uses")
