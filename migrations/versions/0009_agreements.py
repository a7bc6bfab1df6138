"""The agreement ledger; the time zone of its days; what vendors' files said of agreements, kept as it was."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("time_zone", sa.String(63), nullable=True))
    op.add_column("license", sa.Column("file_agreement_ends_at", sa.Float(precision=53), nullable=True))
    op.execute("UPDATE license SET file_agreement_ends_at = agreement_ends_at")
    op.create_table(
        "agreement_entry",
        sa.Column("project_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recorded_at", sa.Float(precision=53), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("subject_kind", sa.String(15), nullable=False),
        sa.Column("subject_id", sa.String(255), nullable=False),
        sa.Column("policy", sa.String(63), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rules", sa.String(255), nullable=False),
        sa.Column("caller", sa.String(255), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_agreement_entry_project_id"),
        sa.PrimaryKeyConstraint("project_id", "number", name="pk_agreement_entry"),
    )


def downgrade() -> None:
    op.drop_table("agreement_entry")
    op.drop_column("license", "file_agreement_ends_at")
    op.drop_column("project", "time_zone")
