"""Learning after a restore: since when and until when, and what was known and proven."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("learning_since", sa.Float(precision=53), nullable=True))
    op.add_column("project", sa.Column("learning_until", sa.Float(precision=53), nullable=True))
    op.add_column("project", sa.Column("learning_why", sa.Text(), nullable=True))
    op.create_table(
        "learning_seat",
        sa.Column("pbx_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(63), nullable=False),
        sa.Column("known", sa.Integer(), nullable=False),
        sa.Column("proven", sa.Integer(), nullable=False),
        sa.Column("unplaced", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pbx_id", "type", name="pk_learning_seat"),
    )


def downgrade() -> None:
    op.drop_table("learning_seat")
    op.drop_column("project", "learning_why")
    op.drop_column("project", "learning_until")
    op.drop_column("project", "learning_since")
