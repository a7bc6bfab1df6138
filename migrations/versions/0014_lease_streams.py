"""The streams of PBXs that have a standby: opened when, and broken when."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lease_stream",
        sa.Column("pbx_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.String(63), nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("lost_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["pbx_id"], ["pbx.id"], name="fk_lease_stream_pbx_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pbx_id", name="pk_lease_stream"),
    )


def downgrade() -> None:
    op.drop_table("lease_stream")
