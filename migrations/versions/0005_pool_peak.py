"""Pools keep the most that was ever debited from them, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pool", sa.Column("peak", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("pool", sa.Column("peak_at", sa.Float(precision=53), nullable=True))
    op.execute("UPDATE pool SET peak = used")


def downgrade() -> None:
    op.drop_column("pool", "peak_at")
    op.drop_column("pool", "peak")
