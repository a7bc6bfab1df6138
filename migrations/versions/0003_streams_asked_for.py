"""When a standby asked whether a stream's PBX is there."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lease_stream", sa.Column("asked_at", sa.Float(precision=53), nullable=True))
