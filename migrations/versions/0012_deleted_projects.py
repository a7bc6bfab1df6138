"""A project that was deleted leaves its name, its audit and its agreement ledger; when it was."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("project", sa.Column("deleted_at", sa.Float(precision=53), nullable=True))


def downgrade() -> None:
    op.drop_column("project", "deleted_at")
