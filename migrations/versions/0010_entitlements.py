"""Licenses that the agreement ledger brings: what they were bought as, and until when they can be used."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("license", sa.Column("agreed_kind", sa.String(15), nullable=True))
    op.add_column("license", sa.Column("agreed_id", sa.String(255), nullable=True))
    op.add_column("license", sa.Column("use_policy", sa.String(63), nullable=True))
    op.add_column("license", sa.Column("use_ends_at", sa.Float(precision=53), nullable=True))


def downgrade() -> None:
    for column in ("use_ends_at", "use_policy", "agreed_id", "agreed_kind"):
        op.drop_column("license", column)
