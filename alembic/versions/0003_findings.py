"""What a study was made to check, and what came of it.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hpo_findings",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("measured", sa.Text(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("found_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["hpo_studies.id"], name=op.f("fk_hpo_findings_study_id")
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("pk_hpo_findings")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("hpo_findings")
