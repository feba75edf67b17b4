"""Studies, stages, slots and learning curves.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hpo_studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("definition_hash", sa.String(length=64), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("description", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hpo_studies")),
        sa.UniqueConstraint("name", name=op.f("uq_hpo_studies_name")),
        sa.UniqueConstraint("uuid", name=op.f("uq_hpo_studies_uuid")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "hpo_stages",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("optuna_study", sa.String(length=512), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("space", sa.JSON(), nullable=False),
        sa.Column("evidence", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("sampler", sa.String(length=16), nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("seeds", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("finished_at", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["hpo_stages.id"], name=op.f("fk_hpo_stages_parent_id")
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["hpo_studies.id"], name=op.f("fk_hpo_stages_study_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hpo_stages")),
        sa.UniqueConstraint("study_id", "number", name=op.f("uq_hpo_stages_study_id_number")),
        sa.UniqueConstraint("uuid", name=op.f("uq_hpo_stages_uuid")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "hpo_slots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("seed", sa.Integer(), nullable=True),
        sa.Column("diverged_at", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(length=16), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["stage_id"], ["hpo_stages.id"], name=op.f("fk_hpo_slots_stage_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hpo_slots")),
        sa.UniqueConstraint("stage_id", "slot", name=op.f("uq_hpo_slots_stage_id_slot")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_hpo_slots_stage_id_state_slot"),
        "hpo_slots",
        ["stage_id", "state", "slot"],
        unique=False,
    )
    op.create_table(
        "hpo_curves",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["slot_id"], ["hpo_slots.id"], name=op.f("fk_hpo_curves_slot_id")),
        sa.PrimaryKeyConstraint("slot_id", "attempt", "step", name=op.f("pk_hpo_curves")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("hpo_curves")
    op.drop_index(op.f("ix_hpo_slots_stage_id_state_slot"), table_name="hpo_slots")
    op.drop_table("hpo_slots")
    op.drop_table("hpo_stages")
    op.drop_table("hpo_studies")
